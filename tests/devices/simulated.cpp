// A second device without hardware, for tests. Its memory is the host's, but torch sees a device of its own: tensors that
// are mixed with the host's are refused as on a GPU, memory has a limit, and what a GPU would have to wait for is counted.
// Every operation is computed by torch's CPU kernels, so that results equal the CPU's wherever sums are in the same order.

#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

constexpr auto kSimulated = c10::DeviceType::PrivateUse1;

// What tests read and set. One thread of a process uses the device at a time: the interpreter's, or autograd's.
struct Settings {
  bool available = false;
  bool has_float64 = true;
  int64_t limit = 0;  // bytes of a device, 0 for none
};
Settings settings;
constexpr int kDevices = 2;
int64_t held[kDevices], most_held[kDevices];
std::map<std::string, int64_t> counts;
thread_local c10::DeviceIndex current_device = 0;
at::Generator own = at::make_generator<at::CPUGeneratorImpl>(20200914);  // of the device's random numbers
thread_local int computing = 0;  // above 0 while a CPU kernel computes: its own copies are not the program's

// Memory.

struct Block {
  void* data;
  int64_t bytes;
  c10::DeviceIndex device;
};

void release(void* context) {
  auto* block = static_cast<Block*>(context);
  held[block->device] -= block->bytes;
  std::free(block->data);
  delete block;
}

struct SimulatedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    const auto bytes = static_cast<int64_t>(n);
    const auto device = current_device;
    if (settings.limit && held[device] + bytes > settings.limit) {
      counts["out_of_memory"]++;
      TORCH_CHECK_WITH(
          OutOfMemoryError, false, "simulated out of memory: ", bytes, " bytes wanted, ", held[device], " of ",
          settings.limit, " held");
    }
    counts["allocations"]++;
    held[device] += bytes;
    most_held[device] = std::max(most_held[device], held[device]);
    void* data = std::aligned_alloc(64, (n + 64) / 64 * 64);
    auto* block = new Block{data, bytes, device};
    return {data, block, &release, c10::Device(kSimulated, device)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t n) const override { std::memcpy(to, from, n); }
};
SimulatedAllocator allocator;

// What torch asks of a device.

struct SimulatedGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kSimulated; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const auto before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {kSimulated, current_device}; }
  void setDevice(c10::Device device) const override { uncheckedSetDevice(device); }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) current_device = device.index();
  }
  c10::Stream getStream(c10::Device device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, stream.device());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { counts["synchronize"]++; }
  void synchronizeDevice(c10::DeviceIndex) const override { counts["synchronize"]++; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, SimulatedGuard)

struct SimulatedHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return settings.available; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return settings.available ? kDevices : 0; }
  c10::DeviceIndex getCurrentDevice() const override { return current_device; }
  void setCurrentDevice(c10::DeviceIndex device) const override { current_device = device; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    const auto before = current_device;
    if (device >= 0) current_device = device;
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override { return exchangeDevice(device); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    if (bytes <= storage.nbytes()) return;
    auto data = allocator.allocate(bytes);
    std::memcpy(data.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr(std::move(data));
    storage.set_nbytes(bytes);
  }
};

// The bytes of a tensor of the device, as a tensor of the host.
at::Tensor on_host(const at::Tensor& tensor) {
  auto host = at::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(c10::kCPU).requires_grad(false));
  host._set_conj(tensor.is_conj());
  host._set_neg(tensor.is_neg());
  return host;
}

void check_type(c10::ScalarType type) {
  if (!settings.has_float64 && (type == c10::kDouble || type == c10::kComplexDouble))
    TORCH_CHECK_TYPE(false, "the simulated device has no float64 now, as MPS has none: use float32");
}

at::Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> type,
    std::optional<c10::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  const auto dtype = c10::dtype_or_default(type);
  check_type(dtype);
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_strided_generic(size, stride, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype);
}

at::Tensor empty(
    c10::IntArrayRef size, std::optional<c10::ScalarType> type, std::optional<c10::Layout>,
    std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const auto dtype = c10::dtype_or_default(type);
  check_type(dtype);
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(size, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), dtype, format);
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const bool here = from.device().type() == kSimulated, there = to.device().type() == kSimulated;
  if (!computing && from.numel()) {
    if (here && !there) counts["to_host"]++;
    if (!here && there) counts[non_blocking ? "from_host_non_blocking" : "from_host"]++;
  }
  const auto target = there ? on_host(to) : to;
  target.copy_(here ? on_host(from) : from);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

c10::Scalar local_scalar(const at::Tensor& tensor) {
  if (!computing) counts["item"]++;
  return on_host(tensor).item();
}

// Everything else: checked as a GPU checks it, then computed by the CPU's kernel.

const std::set<std::string> kWaits = {
    "aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2", "aten::unique_dim",
    "aten::unique_consecutive", "aten::unique_dim_consecutive", "aten::equal", "aten::bincount",
    "aten::repeat_interleave", "aten::_linalg_check_errors"};
// Their operands of one number may be the host's; their indices may be tensors of the host.
const std::set<std::string> kTakesScalars = {
    "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::masked_fill", "aten::masked_fill_",
    "aten::fill_", "aten::index_fill", "aten::index_fill_", "aten::where", "aten::copy_", "aten::set_"};
const std::set<std::string> kTakesIndices = {
    "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index",
    "aten::_unsafe_index_put"};

struct Seen {
  const c10::OperatorHandle& op;
  bool scalars, indices;
  std::optional<c10::Device> device;
  std::string host;  // the shape of a tensor of the host that stands among those of the device
  bool masks = false;

  void look(const at::Tensor& tensor, bool is_index) {
    if (!tensor.defined()) return;
    if (is_index && (tensor.scalar_type() == c10::kBool || tensor.scalar_type() == c10::kByte)) masks = true;
    if (tensor.device().type() == kSimulated) {
      TORCH_CHECK(
          !device || *device == tensor.device(), "Expected all tensors to be on the same device, but found ", *device,
          " and ", tensor.device(), " (", op.schema().name(), ")");
      device = tensor.device();
    } else if (!(tensor.dim() == 0 && scalars) && !(is_index && indices) && !tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
      host = c10::str(tensor.device(), " ", tensor.sizes());
    }
  }
};

// Runs the CPU's kernel on the same bytes, so that it sees the strides that it would see without a device.
void compute(const c10::OperatorHandle& op, torch::jit::Stack* stack, c10::Device device) {
  const auto& arguments = op.schema().arguments();
  const auto& returns = op.schema().returns();
  const size_t n = arguments.size(), begin = stack->size() - n;
  const std::vector<c10::IValue> given(stack->begin() + begin, stack->end());
  std::vector<std::pair<at::Tensor, at::Tensor>> grown;  // results of a size that the kernel decides
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs;  // of the device, and the same bytes of the host
  auto moved = [&](const at::Tensor& tensor, bool written) -> at::Tensor {
    if (!tensor.defined() || tensor.device().type() != kSimulated) return tensor;
    if (written && tensor.numel() == 0) {
      grown.emplace_back(tensor, at::empty({0}, tensor.options().device(c10::kCPU)));
      return grown.back().second;
    }
    pairs.emplace_back(tensor, on_host(tensor));
    return pairs.back().second;
  };
  for (size_t i = 0; i < n; i++) {
    auto& value = (*stack)[begin + i];
    const auto* alias = arguments[i].alias_info();
    const bool written = alias && alias->isWrite() && arguments[i].kwarg_only();
    if (value.isTensor()) {
      value = moved(value.toTensor(), written);
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorList()) list.push_back(moved(t, written));
      value = c10::IValue(list);
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorList())
        list.push_back(t ? std::optional<at::Tensor>(moved(*t, false)) : t);
      value = c10::IValue(list);
    } else if (value.isDevice()) {
      value = c10::Device(c10::kCPU);
    }
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (auto& [tensor, host] : grown) {
    tensor.resize_(host.sizes());
    on_host(tensor).copy_(host);
  }
  auto returned = [&](const at::Tensor& host) -> at::Tensor {
    if (!host.defined()) return host;
    for (auto& [tensor, same] : grown) if (same.is_same(host)) return tensor;
    for (auto& [tensor, same] : pairs) if (same.is_same(host)) return tensor;
    for (auto& [tensor, same] : pairs) {
      const auto* first = static_cast<const char*>(tensor.storage().data());
      const auto* at = static_cast<const char*>(host.data_ptr());
      if (host.numel() && at >= first && at < first + tensor.storage().nbytes())
        return tensor.as_strided(host.sizes(), host.strides(), (at - first) / host.itemsize());
    }
    auto made = host.is_non_overlapping_and_dense()
        ? at::empty_strided(host.sizes(), host.strides(), host.options().device(device))
        : at::empty(host.sizes(), host.options().device(device));
    on_host(made).copy_(host);
    return made;
  };
  const size_t first = stack->size() - returns.size();
  for (size_t i = 0; i < returns.size(); i++) {
    auto& value = (*stack)[first + i];
    if (value.isTensor()) {
      value = returned(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorList()) list.push_back(returned(t));
      value = c10::IValue(list);
    }
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& name = schema.name();
  const bool lists = name.rfind("aten::_foreach", 0) == 0 || name.rfind("aten::_fused", 0) == 0;
  Seen seen{op, lists || op.hasTag(at::Tag::pointwise) || kTakesScalars.count(name) > 0, kTakesIndices.count(name) > 0};
  const size_t n = schema.arguments().size();
  for (size_t i = 0; i < n; i++) {
    const auto& value = (*stack)[stack->size() - n + i];
    const bool is_index = schema.arguments()[i].name() == "indices";
    if (value.isTensor()) seen.look(value.toTensor(), is_index);
    else if (value.isTensorList()) for (const at::Tensor& t : value.toTensorList()) seen.look(t, is_index);
    else if (value.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& t : value.toOptionalTensorList()) if (t) seen.look(*t, is_index);
    } else if (value.isGenerator()) {
      TORCH_CHECK(
          value.toGenerator().device().type() == kSimulated, "Expected a 'simulated' device type for generator but found '",
          value.toGenerator().device().type(), "' (", name, ")");
    } else if (value.isDevice() && value.toDevice().type() == kSimulated && !seen.device) {
      seen.device = value.toDevice();
    }
  }
  TORCH_CHECK(
      !seen.device || seen.host.empty(), "Expected all tensors to be on the same device, but found at least two devices, ",
      *seen.device, " and ", seen.host, " (", name, ")");
  if (!computing && (kWaits.count(name) || (seen.masks && kTakesIndices.count(name)))) counts["shape"]++;
  const c10::OptionalDeviceGuard guard(seen.device);
  // Random numbers of the device are other numbers than the host's.
  const bool random = op.hasTag(at::Tag::nondeterministic_seeded);
  if (random && !computing) counts["random"]++;
  at::Generator usual = at::detail::getDefaultCPUGenerator();
  at::Tensor before;
  if (random) {
    before = usual.get_state();
    usual.set_state(own.get_state());
  }
  computing++;
  try {
    compute(op, stack, seen.device.value_or(c10::Device(kSimulated, current_device)));
  } catch (...) {
    computing--;
    if (random) usual.set_state(before);
    throw;
  }
  computing--;
  if (random) {
    own.set_state(usual.get_state());
    usual.set_state(before);
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("view_as_real", &at::native::view_as_real);
  m.impl("view_as_complex", &at::native::view_as_complex);
  m.impl("resize_", &at::native::resize_);
  m.impl("set_.source_Tensor", &at::native::set_tensor_);
  m.impl("set_.source_Storage", &at::native::set_);
  m.impl("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
  // They are put together from others, which ask for kernels that this device has not.
  for (const char* name : {"convolution", "convolution_backward"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

// Mixed precision: products in the lower one, all else as it comes.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(convolution, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(baddbmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(scaled_dot_product_attention, lower_precision_fp)
}

TORCH_LIBRARY(simulated_device, m) {
  m.def("count(str name) -> int", [](const std::string& name) { return counts[name]; });
  m.def("reset() -> ()", [] {
    counts.clear();
    for (int i = 0; i < kDevices; i++) most_held[i] = held[i];
  });
  m.def("held(int device) -> int", [](int64_t device) { return held[device]; });
  m.def("most_held(int device) -> int", [](int64_t device) { return most_held[device]; });
  m.def("total() -> int", [] { return settings.limit ? settings.limit : int64_t{1} << 40; });
  m.def("free(int device) -> int", [](int64_t device) {
    return (settings.limit ? settings.limit : int64_t{1} << 40) - held[device];
  });
  m.def("limit(int bytes) -> ()", [](int64_t bytes) { settings.limit = bytes; });
  m.def("has_float64() -> bool", [] { return settings.has_float64; });
  m.def("float64(bool there) -> ()", [](bool there) { settings.has_float64 = there; });
  m.def("available(bool there) -> ()", [](bool there) { settings.available = there; });
  m.def("seed(int seed) -> ()", [](int64_t seed) { own.set_current_seed(~static_cast<uint64_t>(seed)); });
  m.def("random_state() -> Tensor", [] { return own.get_state(); });
  m.def("set_random_state(Tensor state) -> ()", [](const at::Tensor& state) { own.set_state(state); });
  m.def("is_available() -> bool", [] { return settings.available; });
  m.def("set_device(int device) -> ()", [](int64_t device) { current_device = static_cast<c10::DeviceIndex>(device); });
  m.def("current_device() -> int", [] { return static_cast<int64_t>(current_device); });
}

struct Registered {
  Registered() {
    c10::SetAllocator(kSimulated, &allocator);
    c10::register_privateuse1_backend("simulated");
    at::RegisterPrivateUse1HooksInterface(new SimulatedHooks());
  }
} registered;

}  // namespace
