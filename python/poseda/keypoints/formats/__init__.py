"""The forms in which detectors write keypoints: a module each, which says how they are laid out.

`mmpose`, `openpose`, `coco` (results of Detectron2 and others, AlphaPose), `mediapipe`, `tables`
(CSV), `arrays` (NumPy, VideoPose3D, canonical files). Each makes `Detections` of what a file holds;
nothing about joints or people is decided here.
"""
