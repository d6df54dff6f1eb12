"""How a stage goes from one version or template to another: progress, and how traffic is shared meanwhile."""
