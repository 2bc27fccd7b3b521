"""Preparation: from a folder of videos and tracings to one store; never imports torch."""
