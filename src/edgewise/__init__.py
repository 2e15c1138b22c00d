"""Edgewise compiles a trained neural network into a small, fast program for the device in hand."""
