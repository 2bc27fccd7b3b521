"""``python -m echo_train``: what ``torchrun -m -- echo_train`` starts in each process.

Without the two dashes torchrun takes ``--run`` for an option of its own.
"""

from echo_train.commands.entry_points import train

if __name__ == "__main__":
    train()
