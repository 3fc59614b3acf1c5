/* main.cpp - sgd-bench: `list` and `run` are libsgd_bench's, `vs-torch` and `report` are Python programs.
 *
 * Python is told where the library is, so that what it loads is what this program would run.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include "session.h"

namespace fs = std::filesystem;

static constexpr int EXIT_UNUSABLE = 2;

static fs::path library()
{
    Dl_info found{};
    dladdr(reinterpret_cast<void *>(&sgd_bench_main), &found);
    return fs::absolute(found.dli_fname);
}

/* The package beside the checkout's sources, or else where it is installed. */
static fs::path package_folder()
{
    std::error_code none;
    return fs::exists(SGD_BENCH_PYTHON_FOLDER "/sgd_bench", none) ? fs::path(SGD_BENCH_PYTHON_FOLDER)
                                                                 : fs::path(SGD_BENCH_INSTALLED_PYTHON_FOLDER);
}

static void put_before(const char *variable, const std::string &word)
{
    const char *others = std::getenv(variable);
    setenv(variable, (others && *others ? word + ":" + others : word).c_str(), 1);
}

/* python -m sgd_bench ARGUMENTS, in the place of this program. */
static int python(int argc, char **argv)
{
    const char *chosen = std::getenv("EXACTSGD_PYTHON");
    std::string interpreter = chosen && *chosen ? chosen : SGD_BENCH_PYTHON;
    put_before("PYTHONPATH", package_folder().string());
    setenv("SGD_BENCH_LIBRARY", library().c_str(), 1);
    const fs::path counter = library().parent_path() / "libsgd_bench_allocations.so";
    if (std::error_code none; std::strcmp(argv[1], "vs-torch") == 0 && fs::exists(counter, none))
        put_before("LD_PRELOAD", counter.string());

    std::string module_option = "-m", module = "sgd_bench";
    std::vector<char *> arguments = {interpreter.data(), module_option.data(), module.data()};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    std::fprintf(stderr, "sgd-bench: %s: %s; EXACTSGD_PYTHON names another Python\n", interpreter.c_str(),
                 std::strerror(errno));
    return EXIT_UNUSABLE;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (std::strcmp(argv[1], "vs-torch") == 0 || std::strcmp(argv[1], "report") == 0))
        return python(argc, argv);
    return sgd_bench_main(argc, argv, nullptr);
}
