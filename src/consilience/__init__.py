"""One molecular model, fitted to every experiment and simulation that speaks about it."""
