// Runs the SIMD kernels without torch, so that they can be tried on a processor that is only
// emulated here. Compares with an op applied pose by pose, in double. Exit status 0 where they
// agree.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "cpu/run.h"
#include "ops/augment_aligned.h"
#include "ops/kcs.h"
#include "ops/known_pairs.h"

namespace poseda {

constexpr int kJoints = 16;

Tree chain_tree() {
  Tree tree{};
  tree.joints = kJoints;
  for (int j = 1; j < kJoints; ++j) tree.parents[j] = static_cast<int8_t>((j - 1) / 2);
  return tree;
}

// Every input is a field, and so is every output, which starts where its input or its room does.
template <class S, class Op, class Same>
int compare(const char* name, const Op& op, const Same& same, std::vector<Field> in,
            std::vector<Field> out, int rows, int batch) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0.0, 0.4);
  Fields fields;
  fields.batch = batch;
  fields.rows = rows;
  fields.dtype = sizeof(S) == 8 ? Dtype::kDouble : Dtype::kFloat;
  std::vector<std::vector<S>> inputs, outputs;
  for (const Field& field : in) {
    inputs.emplace_back(batch * field.width);
    for (S& x : inputs.back()) x = static_cast<S>(normal(random));
    fields.in[fields.inputs++] = {inputs.back().data(), field.width, field.slot};
  }
  for (const Field& field : out) {
    outputs.emplace_back(batch * field.width);
    fields.out[fields.outputs++] = {outputs.back().data(), field.width, field.slot};
  }
  const int blocks = (batch + Lanes<S>::kCount - 1) / Lanes<S>::kCount;
  run(op, fields, 0, blocks);

  double worst = 0;
  std::vector<double> tile(rows);
  for (int pose = 0; pose < batch; ++pose) {
    for (size_t f = 0; f < in.size(); ++f)
      for (int i = 0; i < in[f].width; ++i)
        tile[in[f].slot + i] = inputs[f][pose * in[f].width + i];
    same(tile.data());
    for (size_t f = 0; f < out.size(); ++f) {
      for (int i = 0; i < out[f].width; ++i) {
        const double expected = tile[out[f].slot + i];
        const double error = std::abs(outputs[f][pose * out[f].width + i] - expected);
        worst = std::max(worst, std::isnan(error) ? 1.0 : error / (1 + std::abs(expected)));
      }
    }
  }
  const bool good = worst < (sizeof(S) == 8 ? 1e-11 : 1e-3);
  std::printf("%s, %zu bytes, batch %d: %.1e %s\n", name, sizeof(S), batch, worst,
              good ? "" : "WRONG");
  return good ? 0 : 1;
}

template <class Op, class S>
int check(const char* name, const Op& op, std::vector<Field> in, std::vector<Field> out, int rows,
          int batch) {
  return compare<S>(name, op, op, in, out, rows, batch);
}

template <class S>
int check_all(int batch) {
  // pose, bone rotation, bone scale, rotation, intrinsics, target2d, and rooms after them
  const int rotation = 48, scale = 93, body = 108, camera = 111, target = 115, rest = 147;
  const AugmentInputs in{chain_tree(), {rotation, scale}, 0, body, target, kAbsent, camera};
  const std::vector<Field> inputs = {{nullptr, 48, 0},     {nullptr, 45, rotation},
                                     {nullptr, 15, scale}, {nullptr, 3, body},
                                     {nullptr, 4, camera}, {nullptr, 32, target}};
  int wrong = check<Augment, S>("augment", Augment{in, rest, target}, inputs,
                                {{nullptr, 48, 0}, {nullptr, 3, rest}, {nullptr, 32, target}},
                                rest + 3, batch);
  const int by_pose = rest, by_root = by_pose + 48, by_2d = by_root + 3, moved = by_2d + 32;
  std::vector<Field> with_grads = inputs;
  with_grads.insert(with_grads.end(),
                    {{nullptr, 48, by_pose}, {nullptr, 3, by_root}, {nullptr, 32, by_2d}});
  const AugmentBackward backward{in, true, moved, by_pose, by_root, by_2d};
  std::vector<Field> gradients = inputs;
  gradients.back().slot = by_2d;
  wrong += check<AugmentBackward, S>("augment backward", backward, with_grads, gradients,
                                     moved + 48, batch);
  // The same with a direction, after everything else.
  const Aim aim{moved + 48, 8}, aim_first{rest + 3, 8};
  std::vector<Field> aimed = inputs;
  aimed.push_back({nullptr, 3, aim_first.direction});
  wrong += check<AugmentAligned, S>("augment aligned", {{in, rest, target}, aim_first}, aimed,
                                    {{nullptr, 48, 0}, {nullptr, 3, rest}, {nullptr, 32, target}},
                                    aim_first.direction + 3, batch);
  with_grads.push_back({nullptr, 3, aim.direction});
  gradients.push_back({nullptr, 3, aim.direction});
  wrong += check<AugmentAlignedBackward, S>("augment aligned backward", {backward, aim}, with_grads,
                                            gradients, aim.direction + 3, batch);
  const Pairs pairs = all_pairs(chain_tree());  // half of them repeat one
  const int features = 108, more = features + pairs.count;
  const KcsBackward<3> kcs{chain_tree(), pairs, true,      {rotation, scale}, 0,
                           features,     more,  more + 48, more + 96};
  wrong += check<KcsBackward<3>, S>(
      "kcs backward", kcs, {inputs[0], inputs[1], inputs[2], {nullptr, pairs.count, features}},
      {{nullptr, 48, more + 96}, inputs[1], inputs[2]}, more + 144, batch);
  // Straight code, against the loops over the same pairs.
  const Pairs& known = H36mPairs::kPairs;
  const BoneMotion still{kAbsent, kAbsent};
  const Field product{nullptr, known.count, 48}, by_pose_again{nullptr, 48, 48 + known.count};
  wrong += compare<S>("part_kcs", Kcs<3, H36mPairs>{chain_tree(), {}, false, still, 0, 48},
                      Kcs<3>{chain_tree(), known, false, still, 0, 48}, {inputs[0]}, {product},
                      by_pose_again.slot, batch);
  wrong += compare<S>(
      "part_kcs backward",
      KcsBackward<3, H36mPairs>{chain_tree(), {}, false, still, 0, 48, 0, 0, by_pose_again.slot},
      KcsBackward<3>{chain_tree(), known, false, still, 0, 48, 0, 0, by_pose_again.slot},
      {inputs[0], product}, {by_pose_again}, by_pose_again.slot + 48, batch);
  return wrong;
}

}  // namespace poseda

int main() {
  int wrong = 0;
  for (const int batch : {1, 7, 33}) {
    wrong += poseda::check_all<float>(batch);
    wrong += poseda::check_all<double>(batch);
  }
  return wrong != 0;
}
