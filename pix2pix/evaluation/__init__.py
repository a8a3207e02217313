"""How good translations are: folders of images compared with the truth, in numbers that come with their protocol."""
