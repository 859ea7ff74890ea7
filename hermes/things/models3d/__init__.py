"""Renders of 3D models: furniture, vehicles and household goods of Sweet Home 3D, and animals and tools of 0 A.D."""
