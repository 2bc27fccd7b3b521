"""Simulation of one study: its parameters, anatomy, motion, tissue and ultrasound scanner."""
