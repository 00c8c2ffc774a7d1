"""What a data set says about itself: manifest, card, contact sheet; parts joined to a whole."""
