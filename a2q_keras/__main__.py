"""`python -m a2q_keras` is the command `a2q`."""

from a2q_keras.cli.main import main

if __name__ == "__main__":
    main()
