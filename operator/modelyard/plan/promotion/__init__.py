"""A promotion's life: its prerequisites, its gates and approvals, who is granted a stage, and what its status says."""
