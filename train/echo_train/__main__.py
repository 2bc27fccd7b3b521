"""``python -m echo_train``: what ``torchrun -m -- echo_train`` starts in each process.

Without the two dashes torchrun takes ``--run`` for an option of its own.
"""

from echo_train.commands.train import main

if __name__ == "__main__":
    main()
