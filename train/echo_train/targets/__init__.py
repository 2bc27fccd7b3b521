"""What a network predicts, masks or landmarks, and what its logits mean."""
