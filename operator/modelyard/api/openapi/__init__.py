"""Generate CustomResourceDefinitions from the pydantic models of the kinds."""
