"""What a network predicts, masks or landmarks, and how its logits are read."""
