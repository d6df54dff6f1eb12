"""What we decide: pure functions from a frozen world and a time to a plan. No I/O, no clock, no logging."""
