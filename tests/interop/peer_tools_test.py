"""Tests of the comparison scripts that need neither the peer nor NumPy.

usage: peer_tools_test.py ROOT
"""
import json
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path[:0] = [str(ROOT / "tests" / "interop" / "peer"), str(ROOT / "benchmarks")]
import environment  # noqa: E402
import projects  # noqa: E402
import training  # noqa: E402
import compare_torch  # noqa: E402
import contest  # noqa: E402


def plans(strides, features):
    stages = len(strides)
    arch = {"n_stages": stages, "features_per_stage": list(features), "strides": strides,
            "kernel_sizes": [[3, 3]] * stages, "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1)}
    return {"configurations": {"2d": {"batch_size": 9, "patch_size": [64, 32],
                                      "architecture": {"arch_kwargs": arch}}, "3d": {}}}


class Shrink(unittest.TestCase):
    def test_keeps_what_is_not_named(self):
        p = projects.shrink(plans([[1, 1], [2, 2], [2, 2]], [32, 64, 128]), "2d", None, None, None)
        c = p["configurations"]["2d"]
        self.assertEqual(list(p["configurations"]), ["2d"])
        self.assertEqual((c["batch_size"], c["patch_size"]), (9, [64, 32]))
        self.assertEqual(c["architecture"]["arch_kwargs"]["features_per_stage"], [32, 64, 128])

    def test_stages_that_do_not_fit_go(self):
        p = projects.shrink(plans([[1, 1], [2, 2], [2, 2], [2, 1]], [32, 64, 128, 256]), "2d", 2,
                            [16, 14], 8)
        arch = p["configurations"]["2d"]["architecture"]["arch_kwargs"]
        # 14 -> 7 -> 3: the third stage's axis of 3 is too small; the fourth pools 4 -> 2
        self.assertEqual(arch["n_stages"], 2)
        self.assertEqual(arch["features_per_stage"], [8, 16])
        self.assertEqual(arch["n_conv_per_stage_decoder"], [2])
        self.assertEqual(arch["strides"], [[1, 1], [2, 2]])


class Judge(unittest.TestCase):
    """The verdict of peer_check train on made-up runs."""

    def verdict(self, ours, peer, our_loss=0.0, peer_loss=0.0):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            for who, dice, loss in (("ours", ours, our_loss), ("peer", peer, peer_loss)):
                for seed, d in enumerate(dice):
                    (work / f"{who}_seed{seed}.json").write_text(
                        json.dumps({"dice": d, "losses": [9.0, loss]}))
            (work / "plans.json").write_text(json.dumps(plans([[1, 1]], [4])))
            t = training.Training.__new__(training.Training)
            t.name, t.config, t.batch, t.epochs, t.iterations, t.tail = "x", "2d", 2, 2, 5, 1
            t.work, t.project = work, types.SimpleNamespace(plans=work / "plans.json")
            return training.judge(t, range(len(ours)))[1]

    def test_equal_runs_pass(self):
        self.assertTrue(self.verdict([0.8, 0.81, 0.79], [0.8, 0.81, 0.79]))

    def test_dice_apart_fails(self):
        self.assertFalse(self.verdict([0.80, 0.80, 0.80], [0.82, 0.82, 0.82]))

    def test_spread_of_the_seeds_widens_the_limit(self):
        self.assertTrue(self.verdict([0.78, 0.80, 0.82], [0.80, 0.82, 0.84]))

    def test_loss_apart_fails(self):
        self.assertFalse(self.verdict([0.8] * 3, [0.8] * 3, our_loss=-0.50, peer_loss=-0.56))


class Layers(unittest.TestCase):
    def row(self, shape, direction="forward"):
        return {"name": "n", "shape": shape, "direction": direction, "seconds": 1.0}

    def test_3d(self):
        r = compare_torch.parse_layer(7, self.row("32 -> 64, 3x3x3 s1x1x1, 2 x 16x8x4"))
        self.assertEqual((r["id"], r["ci"], r["co"], r["n"]), (7, 32, 64, 2))
        self.assertEqual((r["kernel"], r["stride"], r["edges"]), ([3, 3, 3], [1, 1, 1], [16, 8, 4]))

    def test_2d_has_two_axes(self):
        r = compare_torch.parse_layer(0, self.row("32 -> 32, 1x3x3 s1x1x1, 2 x 1x8x4"))
        self.assertEqual((r["kernel"], r["edges"]), ([3, 3], [8, 4]))

    def test_others_are_left_out(self):
        for shape, direction in (("32 -> 64, 3x3x3 s2x2x2, 2 x 16x8x4", "forward"),
                                 ("32 -> 3, 1x1x1 s1x1x1, 2 x 16x8x4", "forward"),
                                 ("32 -> 32, 3x3x3 s1x1x1, 2 x 8x8x8", "grad-norm"), ("", "")):
            self.assertIsNone(compare_torch.parse_layer(0, self.row(shape, direction)))


class Commands(unittest.TestCase):
    def test_costs_and_json_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-c", "print('noise'); print('{\"a\": 1}')"]
            rows, cost = contest.run_json_lines(words, None, pathlib.Path(folder) / "log")
        self.assertEqual(rows, [{"a": 1}])
        self.assertGreater(cost["bytes"], 1 << 20)

    def test_failures_are_not_results(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            with self.assertRaises(contest.Failed):
                contest.run_json_lines([sys.executable, "-c", "raise SystemExit(3)"], None, log)
            with self.assertRaises(SystemExit):
                environment.call([sys.executable, "-c", "raise SystemExit(3)"], log)

    def test_the_peer_stays_outside(self):
        with self.assertRaises(SystemExit):
            environment.setup(ROOT / "build" / "peer")


if __name__ == "__main__":
    unittest.main()
