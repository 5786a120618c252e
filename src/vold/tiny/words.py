"""The laptop world's vocabulary: every word a model there can read or write."""

PAD = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
VISION_START = "<|vision_start|>"
VISION_END = "<|vision_end|>"
IMAGE_PAD = "<|image_pad|>"
VIDEO_PAD = "<|video_pad|>"
THINK = "<think>"
THINK_END = "</think>"

SPECIALS = (PAD, TURN_START, TURN_END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD, THINK, THINK_END)
DIGITS = tuple("0123456789")
LETTERS = tuple("abcdef")
OPERATORS = ("+", "-")
MARKS = ("=", ",", "?", ":", ".", "\\boxed{", "}")
ROLES = ("user", "assistant")
TASKS = ("find", "read", "calc", "value", "list", "copy", "reason")
STYLE_WORDS = ("let", "take", "gives", "ok")

WORDS = SPECIALS + DIGITS + LETTERS + OPERATORS + MARKS + ROLES + TASKS + STYLE_WORDS
"""All words in id order: the id of a word is its place in this tuple."""

ROWS = 64
"""Rows of every embedding: more than there are words, so that padded rows exist here as they do in real models."""
