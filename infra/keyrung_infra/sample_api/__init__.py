"""A small bank behind the guard: what the demo talks to, and the example of how an application adds step-up."""
