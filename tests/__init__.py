"""What the package promises, tried; `tests/README.md` says what each tier may assume."""
