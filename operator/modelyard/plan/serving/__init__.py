"""What a stage serves: the pod template that is rendered once, the objects that are applied, and what a template may ask for."""
