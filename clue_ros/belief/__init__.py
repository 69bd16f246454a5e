"""What the robot believes about who is meant: a probability over candidate boxes, pointing, numbers, the best
question.
"""
