"""What synthetic humans do: parametrised actions with random style.

An action is a function ``(rng, t) -> tracks``: `t` is (F,) seconds and a track is a number or an
(F,) array for an angle of `ANGLES` or for one of ``yaw``, ``pitch``, ``roll`` (radians), ``x``,
``y`` and ``lift`` (metres). Tracks that are left out stand still at rest. `perform` adds a
person's posture and small movements, keeps the joint limits and returns a `Motion`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from poseda.data.synthetic.body import ANGLES, Motion, clip_angles

Array = NDArray[np.float64]
Tracks = dict[str, "Array | float"]
Action = Callable[[np.random.Generator, Array], Tracks]

_REST: Mapping[str, float] = {
    "l_hip_abduct": 0.06,
    "r_hip_abduct": 0.06,
    "l_knee_flex": 0.08,
    "r_knee_flex": 0.08,
    "l_shoulder_abduct": 0.14,
    "r_shoulder_abduct": 0.14,
    "l_shoulder_rotate": 0.2,
    "r_shoulder_rotate": 0.2,
    "l_elbow_flex": 0.3,
    "r_elbow_flex": 0.3,
}


def perform(name: str, rng: np.random.Generator, frames: int, fps: float = 10.0) -> Motion:
    """One clip of an action, in random style, at a random place and heading near the middle.

    Args:
        name: key of `ACTIONS`.
        rng: source of all randomness.
        frames: length F of the clip.
        fps: frames per second.

    Raises:
        ValueError: if there is no such action.
    """
    if name not in ACTIONS:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(ACTIONS)}")
    t = np.arange(frames) / fps
    tracks = ACTIONS[name](rng, t)
    unknown = set(tracks) - {*ANGLES, "yaw", "pitch", "roll", "x", "y", "lift"}
    if unknown:
        raise ValueError(f"{name}: unknown tracks {sorted(unknown)}")

    def track(key: str) -> Array:
        return np.broadcast_to(np.asarray(tracks.get(key, 0.0), dtype=np.float64), t.shape)

    angles = np.empty((frames, len(ANGLES)))
    for column, key in enumerate(ANGLES):
        base = track(key) if key in tracks else np.full(frames, _REST.get(key, 0.0))
        posture = rng.normal(0.0, 0.06)
        angles[:, column] = base + posture + wander(rng, t, 0.07, period=2.5)
    start = rng.uniform(-0.5, 0.5, size=2)
    turn = np.stack(
        (
            track("yaw") + rng.uniform(-np.pi, np.pi) + wander(rng, t, 0.25, period=5.0),
            track("pitch") + rng.normal(0.0, 0.03),
            track("roll") + rng.normal(0.0, 0.02),
        ),
        axis=1,
    )
    # A path is turned with the heading that the clip starts from.
    heading = turn[0, 0] - track("yaw")[0]
    x, y = track("x"), track("y")
    place = np.stack(
        (x * np.cos(heading) - y * np.sin(heading), x * np.sin(heading) + y * np.cos(heading)),
        axis=1,
    )
    place = place - place.mean(axis=0) + start
    return Motion(clip_angles(angles), turn, place, np.array(track("lift")))


# ------------------------------------------------------------------------------ building blocks


def wander(rng: np.random.Generator, t: Array, scale: float, period: float = 2.0) -> Array:
    """(F,) smooth random movement about 0 with standard deviation `scale`."""
    rates = 2 * np.pi / (period * rng.uniform(0.6, 1.8, size=3))
    phases = rng.uniform(0, 2 * np.pi, size=3)
    weights = rng.dirichlet(np.ones(3)) ** 0.5
    waves: Array = np.sin(np.multiply.outer(t, rates) + phases) @ weights
    return scale * 1.41 * waves


def cycle(rng: np.random.Generator, t: Array, rate: float) -> Array:
    """(F,) phase in radians that advances by about `rate` turns per second."""
    return 2 * np.pi * rate * t + rng.uniform(0, 2 * np.pi) + wander(rng, t, 0.25, period=3.0)


def pulse(phase: Array, sharpness: float = 1.0) -> Array:
    """(F,) from 0 to 1 and back once per turn, the narrower the higher `sharpness`."""
    shape: Array = ((1 + np.cos(phase)) / 2) ** sharpness
    return shape


def _sides(rng: np.random.Generator) -> tuple[str, str]:
    """The side that acts and the other one."""
    return ("l", "r") if rng.random() < 0.5 else ("r", "l")


def _circle(t: Array, speed: float, radius: float, turn: float) -> Tracks:
    """Tracks along a circle at constant speed; `turn` is 1 to the left and -1 to the right."""
    angle = turn * speed / radius * t
    return {
        "yaw": angle,
        "x": radius * np.sin(np.abs(angle)),
        "y": turn * radius * (1 - np.cos(angle)),
    }


def _arm(
    side: str, flex: Array | float, abduct: Array | float, rotate: Array | float,
    elbow: Array | float,
) -> Tracks:  # fmt: skip
    return {
        f"{side}_shoulder_flex": flex,
        f"{side}_shoulder_abduct": abduct,
        f"{side}_shoulder_rotate": rotate,
        f"{side}_elbow_flex": elbow,
    }


def _seat(rng: np.random.Generator, t: Array) -> Tracks:
    """Legs and trunk of somebody on a chair."""
    thigh = rng.uniform(1.35, 1.65)
    spread = rng.uniform(0.05, 0.4)
    tracks: Tracks = {
        "pitch": rng.uniform(-0.15, 0.05),
        "spine_flex": rng.uniform(0.0, 0.5) + wander(rng, t, 0.1, period=4.0),
    }
    for side in ("l", "r"):
        tracks |= {
            f"{side}_hip_flex": thigh + rng.uniform(-0.1, 0.1),
            f"{side}_hip_abduct": spread,
            f"{side}_knee_flex": thigh + rng.uniform(-0.4, 0.4) + wander(rng, t, 0.08),
            **_arm(side, rng.uniform(0.2, 0.6), 0.15, 0.3, rng.uniform(0.7, 1.3)),
        }
    return tracks


def _gait(phase: Array, stride: float, knee: float, swing: float, elbow: float) -> Tracks:
    """Legs and arms of walking and running; the two sides are half a turn apart."""
    tracks: Tracks = {"spine_twist": -0.12 * swing * np.sin(phase)}
    for side, shift in (("l", 0.0), ("r", np.pi)):
        p = phase + shift
        tracks |= {
            f"{side}_hip_flex": 0.15 * stride + stride * np.sin(p),
            f"{side}_knee_flex": 0.1 + knee * pulse(p + 0.15, 2.0) + 0.15 * pulse(p - 2.0, 3.0),
            **_arm(side, -swing * np.sin(p), 0.15, 0.2, elbow - 0.5 * swing * np.sin(p)),
        }
    return tracks


# -------------------------------------------------------------------------------------- actions


def walk(rng: np.random.Generator, t: Array) -> Tracks:
    speed = rng.uniform(0.7, 1.5)
    phase = cycle(rng, t, 0.55 + 0.3 * speed)
    turn = rng.choice([-1.0, 1.0])
    return {
        **_circle(t, speed, rng.uniform(0.8, 1.3), turn),
        **_gait(phase, 0.22 + 0.18 * speed, rng.uniform(0.75, 1.0), rng.uniform(0.15, 0.6), 0.35),
        "pitch": rng.uniform(-0.02, 0.12),
        "neck_flex": rng.uniform(-0.1, 0.4),
    }


def run(rng: np.random.Generator, t: Array) -> Tracks:
    speed = rng.uniform(1.8, 2.8)
    phase = cycle(rng, t, rng.uniform(1.2, 1.5))
    return {
        **_circle(t, speed, rng.uniform(1.0, 1.4), rng.choice([-1.0, 1.0])),
        **_gait(phase, rng.uniform(0.55, 0.8), rng.uniform(1.4, 1.9), rng.uniform(0.6, 0.9), 1.5),
        "pitch": rng.uniform(0.1, 0.25),
        "lift": 0.06 * pulse(2 * phase + 0.5),
    }


def stand(rng: np.random.Generator, t: Array) -> Tracks:
    """Waits: weight on one leg, looks around, arms hanging, crossed or on the hips."""
    side, other = _sides(rng)
    tracks: Tracks = {
        f"{side}_hip_flex": rng.uniform(0.0, 0.3),
        f"{side}_knee_flex": rng.uniform(0.1, 0.5),
        f"{side}_hip_abduct": rng.uniform(0.05, 0.25),
        "neck_twist": wander(rng, t, 0.35, period=3.0),
        "spine_twist": wander(rng, t, 0.15, period=4.0),
        "yaw": wander(rng, t, 0.3, period=6.0),
    }
    arms = rng.choice(["hang", "hips", "cross", "one"])
    if arms == "hips":
        for each in ("l", "r"):
            tracks |= _arm(each, 0.0, 0.8, 1.35, 1.7)
    elif arms == "cross":
        for each in ("l", "r"):
            tracks |= _arm(each, 0.45, -0.05, 1.35, 1.65)
    elif arms == "one":
        tracks |= _arm(other, 0.0, 0.8, 1.35, 1.7)
    return tracks


def phone(rng: np.random.Generator, t: Array) -> Tracks:
    """Holds a hand to the ear, standing or strolling."""
    side, other = _sides(rng)
    tracks = stand(rng, t)
    if rng.random() < 0.4:
        tracks |= walk(rng, t)
    return tracks | {
        **_arm(side, rng.uniform(0.8, 1.4), rng.uniform(0.1, 0.5), 0.4, rng.uniform(2.3, 2.4)),
        **_arm(other, wander(rng, t, 0.3), 0.2, 0.3, 0.6 + wander(rng, t, 0.4)),
        "neck_bend": rng.uniform(0.0, 0.2) * (1 if side == "l" else -1),
    }


def wave(rng: np.random.Generator, t: Array) -> Tracks:
    """Waves with a raised forearm."""
    side, _ = _sides(rng)
    phase = cycle(rng, t, rng.uniform(0.8, 1.6))
    raise_up = rng.uniform(0.9, 1.7)
    swing = 0.35 * np.sin(phase)
    return stand(rng, t) | _arm(
        side, rng.uniform(0.0, 0.5), raise_up, -1.3 + 0.3 * swing, rng.uniform(1.0, 1.6) + swing
    )


def reach(rng: np.random.Generator, t: Array) -> Tracks:
    """Reaches out or up with one arm, again and again."""
    side, _ = _sides(rng)
    out = pulse(cycle(rng, t, rng.uniform(0.25, 0.45)), 0.8)
    height, across = rng.uniform(1.0, 2.5), rng.uniform(-0.2, 0.8)
    sign = 1 if side == "r" else -1
    return {
        **_arm(side, 0.1 + height * out, 0.15 + across * out, 0.1, 0.5 + 0.9 * out * (1 - out) * 2),
        "spine_flex": 0.05 + 0.35 * out * (height < 1.8),
        "spine_twist": sign * 0.35 * out,
        "pitch": 0.1 * out,
        "neck_flex": 0.2 - 0.2 * height * out / 2,
        "yaw": wander(rng, t, 0.4, period=5.0),
    }


def discuss(rng: np.random.Generator, t: Array) -> Tracks:
    """Talks with both hands."""
    tracks = stand(rng, t)
    for side in ("l", "r"):
        tracks |= _arm(
            side,
            0.4 + wander(rng, t, 0.35, period=1.5),
            0.3 + wander(rng, t, 0.2, period=1.5),
            0.2 + wander(rng, t, 0.4, period=1.5),
            1.4 + wander(rng, t, 0.4, period=1.5),
        )
    return tracks


def photo(rng: np.random.Generator, t: Array) -> Tracks:
    """Holds a camera before the face with both hands."""
    hold = pulse(cycle(rng, t, 0.2), 0.4)
    height = rng.uniform(0.7, 1.3)
    tracks: Tracks = {"neck_flex": 0.1, "yaw": wander(rng, t, 0.6, period=5.0)}
    for side in ("l", "r"):
        tracks |= _arm(side, 0.3 + height * hold, 0.3, 0.6, 0.8 + 1.35 * hold)
    return tracks


def sit(rng: np.random.Generator, t: Array) -> Tracks:
    """Sits on a chair, hands on the thighs, looking around."""
    return _seat(rng, t) | {
        "neck_twist": wander(rng, t, 0.3, period=3.0),
        "spine_twist": wander(rng, t, 0.2, period=4.0),
    }


def drink(rng: np.random.Generator, t: Array) -> Tracks:
    """Sits at a table and lifts a hand to the mouth."""
    side, other = _sides(rng)
    lift = pulse(cycle(rng, t, rng.uniform(0.2, 0.35)), 1.5)
    return _seat(rng, t) | {
        **_arm(side, 0.5 + 0.9 * lift, 0.2, 0.5 + 0.4 * lift, 1.2 + 1.15 * lift),
        **_arm(other, 0.5, 0.25, 0.5, 1.2),
        "neck_flex": 0.25 - 0.4 * lift,
    }


def bend(rng: np.random.Generator, t: Array) -> Tracks:
    """Bends down to the floor and straightens up."""
    down = pulse(cycle(rng, t, rng.uniform(0.2, 0.4)), 0.8)
    knees = rng.uniform(0.1, 0.9)
    tracks: Tracks = {
        "pitch": 0.75 * down,
        "spine_flex": 0.1 + 0.8 * down,
        "neck_flex": 0.1 - 0.3 * down,
    }
    for side in ("l", "r"):
        tracks |= {
            f"{side}_hip_flex": (0.75 + 0.5 * knees) * down,
            f"{side}_knee_flex": 0.1 + knees * down,
            **_arm(side, 0.1 + 1.6 * down, 0.1, 0.1, 0.3 - 0.1 * down),
        }
    return tracks


def squat(rng: np.random.Generator, t: Array) -> Tracks:
    """Squats with the arms held out."""
    down = pulse(cycle(rng, t, rng.uniform(0.25, 0.5)), 0.7)
    depth = rng.uniform(1.2, 2.2)
    spread = rng.uniform(0.1, 0.5)
    arms = rng.uniform(0.3, 1.6)
    tracks: Tracks = {"pitch": 0.3 * down, "spine_flex": 0.1 + 0.35 * down}
    for side in ("l", "r"):
        tracks |= {
            f"{side}_hip_flex": (0.5 * depth + 0.6) * down,
            f"{side}_hip_abduct": spread * (0.4 + down),
            f"{side}_hip_rotate": 0.5 * spread,
            f"{side}_knee_flex": 0.1 + depth * down,
            **_arm(side, 0.1 + arms * down, 0.2, 0.1, rng.uniform(0.1, 0.8)),
        }
    return tracks


def lunge(rng: np.random.Generator, t: Array) -> Tracks:
    """Long steps forward on one leg, hands on the hips or raised."""
    side, other = _sides(rng)
    down = pulse(cycle(rng, t, rng.uniform(0.25, 0.45)), 0.7)
    raised = rng.uniform(0.0, 2.6)
    tracks: Tracks = {
        f"{side}_hip_flex": 0.3 + 1.1 * down,
        f"{side}_knee_flex": 0.2 + 1.3 * down,
        f"{other}_hip_flex": -0.1 - 0.35 * down,
        f"{other}_knee_flex": 0.2 + 1.1 * down,
        "pitch": 0.1 * down,
    }
    for each in ("l", "r"):
        tracks |= _arm(each, raised * down, 0.3, 0.1, 0.5)
    return tracks


def kick(rng: np.random.Generator, t: Array) -> Tracks:
    """Kicks forward or sideways with one leg, fists up."""
    side, _ = _sides(rng)
    phase = cycle(rng, t, rng.uniform(0.4, 0.7))
    out, chamber = pulse(phase, 3.0), pulse(phase + 0.9, 2.0)
    height, aside = rng.uniform(0.9, 1.7), rng.choice([0.0, 0.8])
    tracks: Tracks = {
        f"{side}_hip_flex": 0.1 + (1 - 0.5 * aside) * height * np.maximum(out, 0.8 * chamber),
        f"{side}_hip_abduct": 0.1 + aside * np.maximum(out, chamber),
        f"{side}_knee_flex": 0.2 + 1.7 * chamber * (1 - out),
        "pitch": -0.25 * out,
        "roll": (0.25 if side == "l" else -0.25) * aside * out,
        "spine_flex": 0.1 + 0.15 * out,
    }
    for each in ("l", "r"):
        tracks |= _arm(each, rng.uniform(0.5, 0.9), 0.3, 0.4, rng.uniform(1.7, 2.2))
    return tracks


def punch(rng: np.random.Generator, t: Array) -> Tracks:
    """Boxes: fists before the chest, straight punches left and right."""
    phase = cycle(rng, t, rng.uniform(0.5, 0.9))
    tracks: Tracks = {
        # A left punch brings the left shoulder forward: the trunk turns to the right.
        "spine_twist": 0.45 * (pulse(phase + np.pi, 3.0) - pulse(phase, 3.0)),
        "l_hip_flex": 0.45,
        "l_knee_flex": 0.5 + wander(rng, t, 0.12),
        "r_hip_flex": -0.1,
        "r_knee_flex": 0.45 + wander(rng, t, 0.12),
        "spine_flex": 0.2,
        "neck_flex": 0.1,
        "yaw": wander(rng, t, 0.5, period=4.0),
    }
    height = rng.uniform(1.2, 1.6)
    for side, shift in (("l", 0.0), ("r", np.pi)):
        out = pulse(phase + shift, 3.0)
        tracks |= _arm(side, 0.55 + (height - 0.55) * out, 0.25 - 0.15 * out, 0.4, 2.2 - 2.0 * out)
    return tracks


def throw(rng: np.random.Generator, t: Array) -> Tracks:
    """Throws overhand: draws the arm back, swings it over the shoulder, follows through."""
    side, other = _sides(rng)
    phase = cycle(rng, t, rng.uniform(0.3, 0.5))
    back, forth = pulse(phase + 1.2, 2.0), pulse(phase, 2.5)
    sign = 1 if side == "l" else -1
    return {
        **_arm(
            side,
            0.2 - 0.5 * back + 1.2 * forth,
            0.3 + 1.2 * np.maximum(back, 0.7 * forth),
            0.1 - 1.4 * back + 0.5 * forth,
            0.6 + 1.0 * back * (1 - forth),
        ),
        **_arm(other, 0.2 + 1.0 * back, 0.3, 0.2, 0.6),
        f"{side}_hip_flex": -0.1 - 0.2 * forth,
        f"{other}_hip_flex": 0.2 + 0.4 * forth,
        f"{other}_knee_flex": 0.15 + 0.4 * forth,
        "spine_twist": sign * (0.5 * back - 0.5 * forth),
        "spine_flex": 0.45 * forth - 0.1 * back,
    }


def jump(rng: np.random.Generator, t: Array) -> Tracks:
    """Jumps on the spot: crouch, flight with arms up, landing."""
    phase = cycle(rng, t, rng.uniform(0.5, 0.8))
    air, crouch = pulse(phase, 3.0), pulse(phase + np.pi, 1.5)
    apart = rng.choice([0.0, 0.45])
    tracks: Tracks = {
        "lift": rng.uniform(0.15, 0.35) * air,
        "pitch": 0.3 * crouch,
        "spine_flex": 0.3 * crouch,
    }
    for side in ("l", "r"):
        tracks |= {
            f"{side}_hip_flex": 0.9 * crouch,
            f"{side}_hip_abduct": 0.08 + apart * air,
            f"{side}_knee_flex": 0.1 + 1.3 * crouch,
            **_arm(side, -0.3 * crouch + (2.4 - 2 * apart) * air, 0.15 + 3 * apart * air, 0.1, 0.4),
        }
    return tracks


def crawl(rng: np.random.Generator, t: Array) -> Tracks:
    """On hands and knees, moving or staying."""
    phase = cycle(rng, t, rng.uniform(0.3, 0.6))
    move = rng.choice([0.0, 1.0])
    tracks: Tracks = {
        "pitch": rng.uniform(1.25, 1.45),
        "spine_flex": rng.uniform(-0.1, 0.15),
        "neck_flex": rng.uniform(-0.7, 0.0),
        "x": 0.25 * move * t,
    }
    for side, shift in (("l", 0.0), ("r", np.pi)):
        step = move * np.sin(phase + shift)
        tracks |= {
            f"{side}_hip_flex": 1.35 + 0.25 * step,
            f"{side}_hip_abduct": 0.1,
            f"{side}_knee_flex": 1.5 + 0.1 * step,
            **_arm(side, 1.45 - 0.25 * step, 0.05, 0.0, 0.15),
        }
    return tracks


def kneel(rng: np.random.Generator, t: Array) -> Tracks:
    """Kneels on one knee and works with the hands before the body."""
    side, other = _sides(rng)
    tracks: Tracks = {
        f"{side}_hip_flex": 1.45,
        f"{side}_knee_flex": 1.5,
        f"{other}_hip_flex": 0.05,
        f"{other}_knee_flex": 1.6,
        "spine_flex": rng.uniform(0.1, 0.7),
        "neck_flex": rng.uniform(0.0, 0.5),
        "spine_twist": wander(rng, t, 0.25, period=3.0),
    }
    for each in ("l", "r"):
        tracks |= _arm(each, 0.7 + wander(rng, t, 0.3), 0.2, 0.3, 1.1 + wander(rng, t, 0.4))
    return tracks


def lie(rng: np.random.Generator, t: Array) -> Tracks:
    """Lies on the back or on the stomach, with moving arms and bent knees."""
    on_back = rng.random() < 0.6
    tracks: Tracks = {
        "pitch": -np.pi / 2 if on_back else np.pi / 2,
        "spine_flex": 0.1 if on_back else -0.15,
        "neck_flex": rng.uniform(0.0, 0.5) if on_back else rng.uniform(-0.6, -0.2),
    }
    for side in ("l", "r"):
        knees = rng.uniform(0.05, 1.7)
        raised = rng.uniform(0.0, 2.6)
        tracks |= {
            f"{side}_hip_flex": (0.6 * knees if on_back else 0.0) + wander(rng, t, 0.06),
            f"{side}_knee_flex": (1.1 if on_back else 0.7) * knees + wander(rng, t, 0.1),
            f"{side}_hip_abduct": rng.uniform(0.0, 0.3),
            **_arm(
                side,
                raised if on_back else rng.uniform(-0.1, 0.2),
                rng.uniform(0.1, 1.2),
                0.1,
                0.4 + wander(rng, t, 0.3),
            ),
        }
    return tracks


def stretch(rng: np.random.Generator, t: Array) -> Tracks:
    """Gymnastics upright: arms overhead and to the sides, trunk bending and turning."""
    phase = cycle(rng, t, rng.uniform(0.2, 0.4))
    tracks: Tracks = {
        "spine_bend": 0.55 * np.sin(phase),
        "spine_twist": 0.4 * np.sin(0.7 * phase),
        "l_hip_abduct": 0.3,
        "r_hip_abduct": 0.3,
    }
    overhead = rng.uniform(1.3, 2.8)
    for side in ("l", "r"):
        tracks |= _arm(
            side, 0.1, overhead * (0.7 + 0.3 * np.cos(phase)), 0.0, rng.uniform(0.1, 0.7)
        )
    return tracks


def swing(rng: np.random.Generator, t: Array) -> Tracks:
    """Swings a racket or a club with both hands, knees soft, trunk turning."""
    turn = np.sin(cycle(rng, t, rng.uniform(0.3, 0.6)))
    tracks: Tracks = {
        "spine_twist": 0.7 * turn,
        "pitch": 0.25,
        "spine_flex": 0.25,
        "yaw": 0.35 * turn,
    }
    for each, own in (("l", 1.0), ("r", -1.0)):
        lead = own * turn  # > 0 when the swing is on the side of this arm
        tracks |= {
            f"{each}_hip_flex": 0.5,
            f"{each}_knee_flex": 0.5 - 0.15 * lead,
            f"{each}_hip_abduct": 0.2,
            **_arm(each, 0.8 + 0.35 * turn**2, -0.1 + 0.4 * lead, 0.5, 0.5 + 0.5 * turn**2),
        }
    return tracks


#: Name to action.
ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        walk, run, stand, phone, wave, reach, discuss, photo, sit, drink, bend, squat, lunge, kick,
        punch, throw, jump, crawl, kneel, lie, stretch, swing,
    )
}  # fmt: skip
