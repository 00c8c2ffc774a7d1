"""Novel views of a picture of one's own: the picture framed for a model, the camera moved, the views written."""
