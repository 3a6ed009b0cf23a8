"""The forms in which detectors write keypoints: a module each."""
