//! The training loop, and the methods that turn log-probabilities and rewards into a loss and its gradient.
