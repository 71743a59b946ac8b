"""What a learner begins with: each file is printed by `rawfuse tour exercise N`, and says what is to be done."""
