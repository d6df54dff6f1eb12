"""What people see: options, output, progress, times, exit codes, and how input is validated.

Nothing is reached from here.
"""
