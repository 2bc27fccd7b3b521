"""``python -m echo_train``: what ``torchrun -m echo_train`` starts in each process."""

from echo_train.cli import main

if __name__ == "__main__":
    main()
