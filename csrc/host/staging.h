// Checks tensors, lays them out in a tile and allocates the outputs of an op.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "host/check.h"
#include "math/tree.h"
#include "ops/fields.h"

namespace poseda {

using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Sizes = std::vector<int64_t>;

inline Dtype dtype_of(const Tensor& tensor) {
  using torch::headeronly::ScalarType;
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return Dtype::kFloat;
    case ScalarType::Double:
      return Dtype::kDouble;
    case ScalarType::Half:
      return Dtype::kHalf;
    case ScalarType::BFloat16:
      return Dtype::kBFloat16;
    default:
      STD_TORCH_CHECK(false, "poseda: expected a floating-point tensor");
  }
}

inline Tree make_tree(const std::vector<int64_t>& parents) {
  const int64_t joints = static_cast<int64_t>(parents.size());
  STD_TORCH_CHECK(joints >= 2 && joints <= kMaxJoints, "poseda: got ", joints, " joints");
  Tree tree{};
  tree.joints = static_cast<int32_t>(joints);
  for (int64_t j = 1; j < joints; ++j) {
    STD_TORCH_CHECK(parents[j] >= 0 && parents[j] < j, "poseda: parents[", j, "] is not before it");
    tree.parents[j] = static_cast<int8_t>(parents[j]);
  }
  return tree;
}

// `sizes` without its last `trailing` dimensions, then `tail`.
inline Sizes replace_tail(const Tensor& tensor, int64_t trailing, const Sizes& tail) {
  const auto sizes = tensor.sizes();
  Sizes result(sizes.begin(), sizes.end() - trailing);
  result.insert(result.end(), tail.begin(), tail.end());
  return result;
}

// A new contiguous tensor with the dtype and device of `like`. Straight to the allocation:
// torch::stable::new_empty goes through the dispatcher, which costs as much as a small launch.
inline Tensor new_tensor(const Tensor& like, const Sizes& sizes) {
  Sizes strides(sizes.size());
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(sizes[d], 1);
  }
  int32_t dtype, device_type, device_index;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(like.get(), &dtype));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &device_index));
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()),
                                                         sizes.data(), strides.data(), dtype,
                                                         device_type, device_index, &handle));
  return Tensor(handle);
}

// The tensors of one launch. Tile rows are handed out in order; inputs must be added first.
class Staging {
 public:
  // `like` gives the dtype, the device and, at `width` numbers per pose, the batch size.
  Staging(const Tensor& like, int64_t width) : like_(like) {
    fields_.dtype = dtype_of(like);
    fields_.batch = width > 0 ? like.numel() / width : 0;
  }

  int rows(int64_t width) {
    const int slot = fields_.rows;
    fields_.rows += static_cast<int32_t>(width);
    return slot;
  }

  int input(const Tensor& tensor, int64_t width) {
    STD_TORCH_CHECK(tensor.scalar_type() == like_.scalar_type() &&
                        tensor.get_device_index() == like_.get_device_index(),
                    "poseda: tensors differ in dtype or device");
    STD_TORCH_CHECK(tensor.numel() == fields_.batch * width, "poseda: got ", tensor.numel(),
                    " numbers, expected ", fields_.batch, " times ", width);
    kept_.push_back(tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor));
    return add_input(const_cast<void*>(kept_.back().const_data_ptr()), width);
  }

  int input(const OptionalTensor& tensor, int64_t width) {
    return tensor.has_value() ? input(*tensor, width) : kAbsent;
  }

  // An input that counts as zero where it is not given.
  int input_or_zero(const OptionalTensor& tensor, int64_t width) {
    return tensor.has_value() ? input(*tensor, width) : add_input(nullptr, width);
  }

  Tensor output(int slot, int64_t width, const Sizes& sizes) {
    Tensor tensor = new_tensor(like_, sizes);
    STD_TORCH_CHECK(fields_.outputs < kMaxFields, "poseda: too many outputs");
    fields_.out[fields_.outputs++] = {tensor.mutable_data_ptr(), static_cast<int32_t>(width), slot};
    return tensor;
  }

  // Stands for an output that was not asked for.
  Tensor nothing() { return new_tensor(like_, Sizes{0}); }

  // The gradient of an input, or nothing where it was not given or not asked for.
  Tensor gradient(const OptionalTensor& of, int slot, int64_t width, bool needed) {
    if (!needed || !of.has_value()) return nothing();
    const auto sizes = of->sizes();
    return output(slot, width, Sizes(sizes.begin(), sizes.end()));
  }

  template <class Backend, class Op>
  void launch(const Op& op) const {
    if (fields_.batch > 0 && fields_.outputs > 0)
      Backend::launch(op, fields_, like_.get_device_index());
  }

 private:
  int add_input(void* data, int64_t width) {
    STD_TORCH_CHECK(fields_.inputs < kMaxFields, "poseda: too many inputs");
    const int slot = rows(width);
    fields_.in[fields_.inputs++] = {data, static_cast<int32_t>(width), slot};
    return slot;
  }

  Tensor like_;
  Fields fields_;
  std::vector<Tensor> kept_;
};

}  // namespace poseda
