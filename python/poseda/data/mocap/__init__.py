"""Motion capture of several formats, and cameras that look at it.

`recordings` finds the files, a module each reads a format (`bvh`, `acclaim`, `markers` for C3D,
`joints` for npz) into a `Clip`; `skeletons` maps its joints to Human3.6M's, `world` tells unit and
up axis from the body, `rig` and `render` turn it into what cameras see.
"""
