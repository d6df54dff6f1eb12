"""How the kinds become CustomResourceDefinitions: what pydantic knows of a field, as the API server takes it."""
