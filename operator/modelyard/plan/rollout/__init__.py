"""How a stage goes from one version or template to another: its progress, and the weights of its versions meanwhile."""
