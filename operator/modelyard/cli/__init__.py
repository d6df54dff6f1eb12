"""What people type: one module per verb, and `app`, which knows them all."""
