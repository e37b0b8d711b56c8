"""Copies in other projects: the C++ folder alone, and the Python package under another name.

The projects are created in an empty temporary folder, so that a missing file is noticed. Everything is compiled without
optimisation, except for the pragmas of the kernels, because this is much faster, and the tests check only that the
copies are complete.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPP = ROOT / "cpp" / "tinypyr"
PACKAGE = ROOT / "src" / "tinypyr"

# Compare means and modes of a volume with odd extents with plain loops.
MAIN_CPP = r"""
#include <cstdint>
#include <cstdio>
#include <vector>

#include "tinypyr/tinypyr.hpp"

int main() {
  const std::int64_t nx = 37, ny = 5, mx = 19, my = 3;  // x fastest, pooled by 2 and 2
  std::vector<std::uint16_t> voxels(nx * ny), means(mx * my), modes(mx * my);
  for (std::int64_t i = 0; i < nx * ny; ++i) voxels[i] = static_cast<std::uint16_t>(i * i * 7919 % 4 + 65000);
  tinypyr::View in, out;
  in.data = reinterpret_cast<char*>(voxels.data());
  in.ndim = out.ndim = 2;
  in.dtype = out.dtype = tinypyr::Dtype::uint16;
  in.shape[0] = nx, in.shape[1] = ny, in.strides[0] = 2, in.strides[1] = 2 * nx;
  out.shape[0] = mx, out.shape[1] = my, out.strides[0] = 2, out.strides[1] = 2 * mx;
  const std::int64_t factor[1][tinypyr::max_ndim] = {{2, 2}};
  tinypyr::Options options;
  out.data = reinterpret_cast<char*>(means.data());
  if (tinypyr::pyramid(in, 1, factor, &out, options) != tinypyr::Status::ok) return 1;
  out.data = reinterpret_cast<char*>(modes.data());
  options.method = tinypyr::Method::mode;
  if (tinypyr::pyramid(in, 1, factor, &out, options) != tinypyr::Status::ok) return 2;

  for (std::int64_t y = 0; y < my; ++y) {
    for (std::int64_t x = 0; x < mx; ++x) {
      std::vector<std::uint16_t> block;
      for (std::int64_t v = 2 * y; v < 2 * y + 2 && v < ny; ++v)
        for (std::int64_t u = 2 * x; u < 2 * x + 2 && u < nx; ++u) block.push_back(voxels[v * nx + u]);
      std::uint64_t sum = 0, most = 0;
      std::uint16_t mode = 0;
      for (std::uint16_t voxel : block) {
        std::uint64_t votes = 0;
        for (std::uint16_t other : block) votes += other == voxel;
        if (votes > most) most = votes, mode = voxel;
        sum += voxel;
      }
      std::uint64_t mean = sum / block.size();
      const std::uint64_t twice = 2 * (sum % block.size());
      if (twice > block.size() || (twice == block.size() && mean % 2 == 1)) ++mean;
      if (means[y * mx + x] != mean) return 3;
      if (modes[y * mx + x] != mode) return 4;
    }
  }
  int sets = 0;
  const char* const* names = tinypyr::instruction_sets(&sets);
  std::printf("right, with %s\n", sets > 0 ? names[0] : "nothing");
  return sets > 0 ? 0 : 5;
}
"""

MAIN_CMAKE = """
cmake_minimum_required(VERSION 3.20)
project(somebody_elses LANGUAGES CXX)
add_subdirectory(third_party/tinypyr)
add_executable(main main.cpp)
target_link_libraries(main PRIVATE tinypyr)
"""

OTHER_PYPROJECT = """
[build-system]
requires = ["scikit-build-core", "cython"]
build-backend = "scikit_build_core.build"

[project]
name = "otherpkg"
version = "1.0"

[tool.scikit-build]
wheel.packages = ["otherpkg"]
cmake.build-type = "Debug"

[tool.scikit-build.cmake.define]
CMAKE_CXX_FLAGS_DEBUG = "-O0"
TINYPYR_BASE_ONLY = "ON"
"""

OTHER_CMAKE = """
cmake_minimum_required(VERSION 3.20)
project(otherpkg LANGUAGES CXX)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
add_subdirectory(third_party/tinypyr)
set(pyx ${CMAKE_CURRENT_SOURCE_DIR}/otherpkg/_vendor/tinypyr/_core.pyx)
add_custom_command(
  OUTPUT _core.cpp
  COMMAND ${Python_EXECUTABLE} -m cython -3 --cplus ${pyx} -o ${CMAKE_CURRENT_BINARY_DIR}/_core.cpp
  DEPENDS ${pyx})
python_add_library(_core MODULE WITH_SOABI ${CMAKE_CURRENT_BINARY_DIR}/_core.cpp)
target_link_libraries(_core PRIVATE tinypyr)
install(TARGETS _core DESTINATION otherpkg/_vendor/tinypyr)
"""

# The beginning of every program below: a path with only the standard library, the package and its requirements.
ISOLATED = """
import importlib.util, sys
sys.path[:0] = {path!r}
assert importlib.util.find_spec("tinypyr") is None, "the copy must not find the original"
"""

# Compare results of a copy with counting and fractions.
ANSWERS = """
import itertools
from collections import Counter
from fractions import Fraction
import numpy as np

def blocks(volume, factor):
    counts = [-(-n // f) for n, f in zip(volume.shape, factor)]
    for index in itertools.product(*map(range, counts)):
        cut = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factor))
        yield index, [int(voxel) for voxel in volume[cut].ravel(order="F")]

def mode(block):
    votes = Counter(block)
    return next(voxel for voxel in block if votes[voxel] == max(votes.values()))

rules = {
    "mean": lambda block: round(Fraction(sum(block), len(block))),
    "mode": mode,
    "median": lambda block: sorted(block)[(len(block) - 1) // 2],
    "min": min,
    "max": max,
    "stride": lambda block: block[0],
}

def check_answers(tinypyr):
    rng = np.random.default_rng(0)
    for dtype, order in itertools.product(("uint8", "int16", "uint32", "int64"), "CF"):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        choices = np.array([low, low + 3, high, high - 1, 5], dtype)
        volume = np.array(rng.choice(choices, (9, 7, 5)), order=order)
        for method, rule in rules.items():
            levels = tinypyr.pyramid(volume, (2, 2, 1), method, levels=2)
            for factor, level in zip([(2, 2, 1), (4, 4, 1)], levels, strict=True):
                assert level.dtype == volume.dtype
                want = list(blocks(volume, factor))
                assert level.size == len(want)
                for index, block in want:
                    assert level[index] == rule(block), (dtype, order, method, factor, index)
    halves = tinypyr.downsample(np.array([1.0, 2.5, np.nan, 4.0], "f4"), 2, ignore=np.nan)
    assert halves.tolist() == [1.75, 4.0]
"""

COMPILED = (
    ISOLATED
    + ANSWERS
    + """
import otherpkg._vendor.tinypyr as copy
assert copy.instruction_sets(), "the copy's extension is missing"
check_answers(copy)

import otherpkg._vendor.tinypyr.compat.tinybrain as tinybrain
volume = np.random.default_rng(1).integers(0, 3, (8, 6, 4)).astype("uint8")
(averages,) = tinybrain.downsample_with_averaging(volume, (2, 2, 1))
(labels,) = tinybrain.downsample_segmentation(volume, (2, 2, 2))
for index, block in blocks(volume, (2, 2, 1)):
    assert averages[index] == sum(block) // 4
for index, block in blocks(volume, (2, 2, 2)):
    assert labels[index] == mode(block)

# every module, also those that no function above has touched
import importlib, pkgutil
MORE = ".tinypyr.store .ndinterp .pyramid_sampler .dask_arrays".split()
MORE += ".cli._click .cli._commands .cli._options .cli._tables .cli._store .cli._apply".split()
for module in pkgutil.walk_packages(copy.__path__, copy.__name__ + "."):
    # TensorStore, dask and click are not installed here
    wants_more = any(part in module.name for part in MORE)
    if module.name.endswith("__main__") or wants_more:
        continue
    importlib.import_module(module.name)
try:
    importlib.import_module(copy.__name__ + ".store")
except ImportError as error:
    assert "TensorStore" in str(error)
else:
    raise AssertionError("stores without TensorStore")
try:
    importlib.import_module(copy.__name__ + ".ndinterp")
except ImportError as error:
    assert "tinypyr[dask]" in str(error), error
else:
    raise AssertionError("ndinterp without dask")
strangers = [name for name in sys.modules if name.split(".")[0] in ("tinypyr", "fastremap")]
assert not strangers, strangers
print("right, with", copy.instruction_sets()[0])
"""
)

WITHOUT_EXTENSION = (
    ISOLATED
    + ANSWERS
    + """
import warnings
sys.modules["fastremap"] = None
sys.modules["otherpkg._vendor.tinypyr._core"] = None
import otherpkg._vendor.tinypyr as copy
assert copy.instruction_sets() == []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    check_answers(copy)
assert [warning.category for warning in caught] == [RuntimeWarning], caught
print("right, with numpy")
"""
)


def run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, and return its standard output."""
    scripts = os.path.dirname(sys.executable)  # programs that pip has installed, even if their folder is not in PATH
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-8000:]}"
    return done.stdout


def find(*names: str, why: str) -> str:
    scripts = os.path.dirname(sys.executable)
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=scripts)
        if found:
            return found
    pytest.skip(f"{why}: none of {', '.join(names)} is installed")


def compiler() -> str:
    return find(*filter(None, [os.environ.get("CXX")]), "g++", "clang++", "c++", why="needs a C++ compiler")


def copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "build"))


def test_a_copy_of_the_cpp_folder_works_in_a_cmake_project(tmp_path: Path) -> None:
    cmake = find("cmake", why="needs CMake")
    compiler()
    copy_folder(CPP, tmp_path / "third_party" / "tinypyr")
    (tmp_path / "main.cpp").write_text(MAIN_CPP)
    (tmp_path / "CMakeLists.txt").write_text(MAIN_CMAKE)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0", "-DTINYPYR_WERROR=ON"]
    options.append("-DTINYPYR_BASE_ONLY=ON")  # a full build takes minutes
    run([cmake, *generator, *options, "-S", ".", "-B", "build"], tmp_path)
    run([cmake, "--build", "build"], tmp_path)
    assert run([str(tmp_path / "build" / "main")], tmp_path).startswith("right")


def test_a_copy_of_the_cpp_folder_works_with_a_compiler_alone(tmp_path: Path) -> None:
    copy_folder(CPP, tmp_path / "tinypyr")
    (tmp_path / "main.cpp").write_text(MAIN_CPP)
    flags = ["-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-pthread", "-I.", "-DTINYPYR_BASE_ONLY"]
    sources = sorted(str(source.relative_to(tmp_path)) for source in (tmp_path / "tinypyr").glob("*.cpp"))
    run([compiler(), *flags, "main.cpp", *sources, "-o", "main"], tmp_path)
    assert run([str(tmp_path / "main")], tmp_path).strip() in ("right, with scalar", "right, with neon")


def test_a_copy_of_the_python_folder_works_in_another_package(tmp_path: Path) -> None:
    for module in ("pip", "scikit_build_core", "Cython"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module} to build another package")
    find("cmake", why="needs CMake")
    compiler()
    project = tmp_path / "project"
    copy_folder(PACKAGE, project / "otherpkg" / "_vendor" / "tinypyr")
    copy_folder(CPP, project / "third_party" / "tinypyr")
    (project / "otherpkg" / "__init__.py").touch()
    (project / "otherpkg" / "_vendor" / "__init__.py").touch()
    (project / "pyproject.toml").write_text(OTHER_PYPROJECT)
    (project / "CMakeLists.txt").write_text(OTHER_CMAKE)
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
    run([*pip, "--disable-pip-version-check", "--target", str(installed), str(project)], tmp_path)

    # only numpy: a folder of links, because the folder of numpy may also contain the original package
    import numpy

    links = tmp_path / "links"
    links.mkdir()
    site = Path(numpy.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (site / name).exists():
            (links / name).symlink_to(site / name, target_is_directory=True)
    path = [str(installed), str(links)]
    # -I: only the named folders; -S: no .pth files, which would add an editable install
    python = [sys.executable, "-I", "-S", "-W", "error", "-c"]
    assert run([*python, COMPILED.replace("{path!r}", repr(path))], tmp_path).startswith("right, with")
    assert run([*python, WITHOUT_EXTENSION.replace("{path!r}", repr(path))], tmp_path).startswith("right, with numpy")


def test_the_package_never_names_itself() -> None:
    """A copy under another name works because no module of the package imports it by its name."""
    sources = sorted(PACKAGE.rglob("*.py"))
    assert len(sources) > 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not [name for name in names if name.split(".")[0] == "tinypyr"], f"{source}:{node}"
