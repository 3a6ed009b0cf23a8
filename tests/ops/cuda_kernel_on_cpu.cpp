// Runs csrc/cuda/kernel.cuh on the CPU, a thread for every CUDA thread of a block, and compares
// with the op applied pose by pose. Fields of many widths, odd batches, odd addresses, every dtype.
// Exit status 0 where all agree. Shared memory starts as NaN, and asynchronous copies arrive only
// when they are waited for. Those are also checked to be coalesced.
#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __grid_constant__
#define __shared__
#define __align__(n) __attribute__((aligned(n)))

struct Index {
  unsigned x;
};
thread_local Index threadIdx, blockIdx;
std::barrier<>* block_barrier;
void __syncthreads() { block_barrier->arrive_and_wait(); }

thread_local std::vector<std::function<void()>> copies;
std::vector<const char*> sources[1024];  // what each thread copied from, in a block
size_t copied_bytes;
void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  copies.push_back([=] { std::memcpy(to, from, bytes); });
  sources[threadIdx.x].push_back(static_cast<const char*>(from));
  if (threadIdx.x == 0) copied_bytes = bytes;
}
void __pipeline_commit() {}
void __pipeline_wait_prior(int) {
  for (const auto& copy : copies) copy();
  copies.clear();
}

// The conversions themselves are the compiler's: the upper half of a float will do for both.
struct Upper {
  uint16_t bits;
};
Upper __ushort_as_half(uint16_t bits) { return {bits}; }
Upper __ushort_as_bfloat16(uint16_t bits) { return {bits}; }
uint16_t __half_as_ushort(Upper x) { return x.bits; }
uint16_t __bfloat16_as_ushort(Upper x) { return x.bits; }
float __half2float(Upper x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
float __bfloat162float(Upper x) { return __half2float(x); }
Upper __float2half_rn(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return {static_cast<uint16_t>(bits >> 16)};
}
Upper __float2bfloat16_rn(float x) { return __float2half_rn(x); }

namespace poseda {
unsigned char shared_bytes[48 * 1024] __attribute__((aligned(16)));
}

#include "cuda/kernel.cuh"

namespace poseda {

float number(float x) { return x; }
double number(double x) { return x; }
float number(Half x) { return to_float(x); }
float number(BFloat16 x) { return to_float(x); }
void set(float& out, float x) { out = x; }
void set(double& out, double x) { out = x; }
void set(Half& out, float x) { from_float(x, out); }
void set(BFloat16& out, float x) { from_float(x, out); }

// Doubles every input row into a row of its own.
struct Twice {
  int rows;
  template <class T>
  void operator()(T* tile) const {
    for (int r = 0; r < rows; ++r) tile[rows + r] = T(2) * tile[r];
  }
};

const std::vector<int> kWidths = {48, 45, 3, 0, 4, 1, 32, 15, 2, 51, 193};
constexpr int kAbsentField = 4;  // an input that is not given

// How often neighbouring threads do not copy neighbouring numbers of a field in the same turn.
int not_coalesced(const char* field, size_t bytes) {
  std::vector<const char*> turns[kThreads];
  for (int t = 0; t < kThreads; ++t)
    for (const char* source : sources[t])
      if (source >= field && source < field + bytes) turns[t].push_back(source);
  int wrong = 0;
  for (int t = 1; t < kThreads; ++t) {
    wrong += turns[t].size() > turns[t - 1].size();
    for (size_t k = 0; k < turns[t].size() && k < turns[t - 1].size(); ++k)
      wrong += turns[t][k] != turns[t - 1][k] + copied_bytes;
  }
  return wrong;
}

int scattered = 0;

template <class Op, class Storage>
void launch(const Op& op, const Fields& fields, int stride, int poses) {
  const int blocks = static_cast<int>((fields.batch + poses - 1) / poses);
  std::barrier<> barrier(kThreads);
  block_barrier = &barrier;
  const auto run = [&](unsigned thread) {
    threadIdx.x = thread;
    for (int block = 0; block < blocks; ++block) {
      blockIdx.x = static_cast<unsigned>(block);
      if (thread == 0) std::memset(shared_bytes, 0xff, sizeof(shared_bytes));
      sources[thread].clear();
      barrier.arrive_and_wait();
      tile_kernel<Op, Storage>(op, fields, stride, poses);
      barrier.arrive_and_wait();
      for (int f = 0; thread == 0 && f < fields.inputs; ++f)
        scattered += not_coalesced(static_cast<const char*>(fields.in[f].data),
                                   fields.batch * fields.in[f].width * sizeof(Storage));
      barrier.arrive_and_wait();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) threads.emplace_back(run, t);
  for (std::thread& thread : threads) thread.join();
}

// `shift` numbers lie before each tensor, so that its address may be odd.
template <class Storage>
int check(const char* name, int batch, int poses, int shift) {
  std::vector<std::vector<Storage>> in, out;
  Fields fields;
  fields.batch = batch;
  for (size_t f = 0; f < kWidths.size() - 1; ++f) {
    const int width = kWidths[f], count = batch * width;
    in.emplace_back(shift + count);
    for (int i = 0; i < count; ++i)
      set(in[f][shift + i], static_cast<float>((i * 7 + static_cast<int>(f)) % 127 - 60));
    void* data = static_cast<int>(f) == kAbsentField ? nullptr : in[f].data() + shift;
    fields.in[fields.inputs++] = {data, width, fields.rows};
    fields.rows += width;
  }
  const Twice op{fields.rows};
  int slot = fields.rows;
  fields.rows *= 2;
  for (size_t f = 0; f < kWidths.size() - 1; ++f) {
    const int width = kWidths[f];
    out.emplace_back(shift + batch * width);
    fields.out[fields.outputs++] = {out[f].data() + shift, width, slot};
    slot += width;
  }
  launch<Twice, Storage>(op, fields, fields.rows | 1, poses);
  int wrong = 0;
  for (size_t f = 0; f < out.size(); ++f) {
    for (int i = 0; i < batch * kWidths[f]; ++i) {
      const bool absent = static_cast<int>(f) == kAbsentField;
      const double expected = absent ? 0.0 : 2.0 * number(in[f][shift + i]);
      wrong += !(number(out[f][shift + i]) == expected);
    }
  }
  if (wrong)
    std::printf("%s batch %d poses %d shift %d: %d wrong\n", name, batch, poses, shift, wrong);
  return wrong;
}

// One row wider than the block has threads.
int check_wide() {
  const int batch = 9, width = kWidths.back();
  std::vector<float> in(batch * width), out(batch * width);
  for (int i = 0; i < batch * width; ++i) in[i] = static_cast<float>(i);
  Fields fields;
  fields.batch = batch;
  fields.rows = 2 * width;
  fields.in[fields.inputs++] = {in.data(), width, 0};
  fields.out[fields.outputs++] = {out.data(), width, width};
  launch<Twice, float>(Twice{width}, fields, fields.rows | 1, 8);
  int wrong = 0;
  for (int i = 0; i < batch * width; ++i) wrong += out[i] != 2 * in[i];
  if (wrong) std::printf("wide: %d wrong\n", wrong);
  return wrong;
}

}  // namespace poseda

int main() {
  using namespace poseda;
  int wrong = check_wide();
  // A full block; a tile that only fits twice; a small batch; a smaller one of large tiles.
  wrong += poses_per_block(1 << 20, 604) != 32 || poses_per_block(1 << 20, 18000) != 2;
  wrong += poses_per_block(1024, 604) != 8 || poses_per_block(2048, 604) != 16;
  wrong += poses_per_block(1, 18000) != 2 || poses_per_block(1 << 20, 40000) != 1;
  for (const int batch : {1, 2, 31, 67})
    for (const int poses : {8, 28})
      for (const int shift : {0, 1}) {
        wrong += check<float>("float", batch, poses, shift);
        wrong += check<Half>("half", batch, poses, shift);
        wrong += check<BFloat16>("bfloat16", batch, poses, shift);
        wrong += check<double>("double", batch, poses / 2 - 1, shift);
      }
  if (scattered) std::printf("%d copies are not coalesced\n", scattered);
  return wrong + scattered != 0;
}
