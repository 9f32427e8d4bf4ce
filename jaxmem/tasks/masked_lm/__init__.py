"""Hidden words: an encoder learns text by saying what it does not see."""
