"""Simulation of one study from its parameters: anatomy, motion, tissue, ultrasound scanner."""
