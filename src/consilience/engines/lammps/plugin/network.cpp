// A network as programs of XLA, run through PJRT: see network.h.
// SPDX-License-Identifier: MIT
#include "network.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace consil {

namespace {

[[noreturn]] void fail(const std::string &what) { throw std::runtime_error(what); }

std::string content(const std::string &path)
{
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}    // namespace

void Batch::resize(int r, int k)
{
  rows = r;
  slots = k;
  const std::size_t cells = std::size_t(r) * k;
  vectors.resize(3 * cells);
  forces.resize(3 * cells);
  types_j.resize(cells);
  separation.resize(cells);
  energies.resize(r);
  types_i.resize(r);
  count.resize(r);
}

Network::Network(const std::string &library, const std::string &place) : folder(place)
{
  read_manifest();
  options = content(folder + "/options.pb");
  start(library);
}

void Network::read_manifest()
{
  std::istringstream text(content(folder + "/network.txt"));
  std::string line, word;
  int version = 0;
  while (std::getline(text, line)) {
    std::istringstream fields(line);
    if (!(fields >> word)) continue;
    if (word == "consilience-network") fields >> version;
    else if (word == "cutoff") fields >> cutoff;
    else if (word == "far") fields >> far;
    else if (word == "types") while (fields >> word) types.push_back(word);
    else if (word == "program") {
      Program program{};
      fields >> program.rows >> program.slots >> program.file;
      if (fields) programs.push_back(program);
    }
  }
  if (version != 1) fail(folder + "/network.txt is of another version of the export");
  if (!(cutoff > 0.0) || types.empty() || programs.empty()) fail(folder + "/network.txt is not complete");
}

template <class Args> void Network::call(pjrt::Function function, Args &args) const
{
  args.size = sizeof(Args);
  check(((pjrt::Error * (*) (Args *) ) api->functions[function])(&args));
}

void Network::check(pjrt::Error *error) const
{
  if (!error) return;
  pjrt::ErrorMessage message;
  message.size = sizeof(message);
  message.error = error;
  ((void (*)(pjrt::ErrorMessage *)) api->functions[pjrt::ERROR_MESSAGE])(&message);
  const std::string text(message.message, message.length);
  pjrt::ErrorDestroy gone;
  gone.size = sizeof(gone);
  gone.error = error;
  ((void (*)(pjrt::ErrorDestroy *)) api->functions[pjrt::ERROR_DESTROY])(&gone);
  fail("XLA: " + text);
}

void Network::finish(pjrt::Event *event) const
{
  if (!event) return;
  pjrt::EventArgs args;
  args.event = event;
  call(pjrt::EVENT_AWAIT, args);
  call(pjrt::EVENT_DESTROY, args);
}

void Network::start(const std::string &library)
{
  setenv("TF_CPP_MIN_LOG_LEVEL", "1", 0);    // what XLA notes about itself is not for the user
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail(std::string("cannot load the PJRT plug-in: ") + dlerror());
  auto get = (const pjrt::Api *(*) ()) dlsym(handle, "GetPjrtApi");
  if (!get) fail(library + " is no PJRT plug-in: it has no GetPjrtApi");
  api = get();
  if (!api || api->version.major != 0 || !api->has(pjrt::BUFFER_TO_HOST_BUFFER))
    fail(library + " speaks another version of PJRT");
  pjrt::PluginInitialize initialize;
  call(pjrt::PLUGIN_INITIALIZE, initialize);
  // small programs are faster on the thread of the caller
  const std::string name = "asynchronous";
  pjrt::Option option;
  option.size = sizeof(option);
  option.name = name.data();
  option.name_size = name.size();
  option.truth = false;
  pjrt::ClientCreate create;
  create.options = &option;
  create.num_options = 1;
  try {
    call(pjrt::CLIENT_CREATE, create);
  } catch (std::runtime_error &) {    // a runtime that does not know the option
    create = {};
    call(pjrt::CLIENT_CREATE, create);
  }
  client = create.client;
  pjrt::ClientDevices devices;
  devices.client = client;
  call(pjrt::CLIENT_ADDRESSABLE_DEVICES, devices);
  if (!devices.num_devices) fail("PJRT has no device");
  device = devices.devices[0];
}

void Network::compile(Program &program)
{
  const std::string code = content(folder + "/" + program.file), format = "mlir";
  pjrt::Program source;
  source.size = sizeof(source);
  source.code = code.data();
  source.code_size = code.size();
  source.format = format.data();
  source.format_size = format.size();
  pjrt::ClientCompile args;
  args.client = client;
  args.program = &source;
  args.options = options.data();
  args.options_size = options.size();
  call(pjrt::CLIENT_COMPILE, args);
  program.executable = args.executable;
}

int Network::most_slots() const
{
  int most = 0;
  for (const Program &p : programs) most = std::max(most, p.slots);
  return most;
}

void Network::choose(int beads, int neighbours, int &rows, int &slots) const
{
  rows = slots = 0;
  for (const Program &p : programs)    // the fewest slots that hold all neighbours
    if (p.slots >= neighbours && (!slots || p.slots < slots)) slots = p.slots;
  for (const Program &p : programs)    // of those the fewest rows that hold all beads, else the most
    if (p.slots == slots) {
      const bool fits = p.rows >= beads, best_fits = rows >= beads;
      if (!rows || (fits && (!best_fits || p.rows < rows)) || (!fits && !best_fits && p.rows > rows)) rows = p.rows;
    }
}

pjrt::Buffer *Network::send(const void *data, pjrt::Kind kind, const std::vector<std::int64_t> &dims) const
{
  pjrt::BufferFromHost args;
  args.client = client;
  args.data = data;
  args.kind = kind;
  args.dims = dims.data();
  args.num_dims = dims.size();
  args.device = device;
  call(pjrt::CLIENT_BUFFER_FROM_HOST_BUFFER, args);
  finish(args.done);
  return args.buffer;
}

pjrt::Event *Network::receive(pjrt::Buffer *buffer, std::vector<double> &into) const
{
  pjrt::BufferToHost args;
  args.buffer = buffer;
  args.data = into.data();
  args.size_of_data = into.size() * sizeof(double);
  call(pjrt::BUFFER_TO_HOST_BUFFER, args);
  return args.event;
}

void Network::destroy(pjrt::Buffer *buffer) const
{
  pjrt::BufferDestroy args;
  args.buffer = buffer;
  call(pjrt::BUFFER_DESTROY, args);
}

void Network::run(Batch &batch)
{
  auto program = std::find_if(programs.begin(), programs.end(),
                              [&](const Program &p) { return p.rows == batch.rows && p.slots == batch.slots; });
  if (program == programs.end()) fail("no program of this size");
  if (!program->executable) compile(*program);
  const std::int64_t m = batch.rows, k = batch.slots;
  pjrt::Buffer *inputs[] = {
      send(batch.vectors.data(), pjrt::F64, {m, k, 3}), send(batch.types_i.data(), pjrt::S32, {m}),
      send(batch.types_j.data(), pjrt::S32, {m, k}),    send(batch.separation.data(), pjrt::S32, {m, k}),
      send(batch.count.data(), pjrt::S32, {m}),
  };
  pjrt::Buffer *outputs[2] = {};
  pjrt::Buffer *const *arguments = inputs;
  pjrt::Buffer **results = outputs;
  pjrt::ExecuteOptions how;
  how.size = sizeof(how);
  pjrt::Execute args;
  args.executable = program->executable;
  args.options = &how;
  args.arguments = &arguments;
  args.num_arguments = 5;
  args.outputs = &results;
  call(pjrt::LOADED_EXECUTABLE_EXECUTE, args);
  pjrt::Event *energies = receive(outputs[0], batch.energies), *forces = receive(outputs[1], batch.forces);
  finish(energies);
  finish(forces);
  for (pjrt::Buffer *b : inputs) destroy(b);
  for (pjrt::Buffer *b : outputs) destroy(b);
}

}    // namespace consil
