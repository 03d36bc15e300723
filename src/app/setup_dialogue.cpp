#include "app/setup_dialogue.hpp"

#include <cerrno>
#include <csignal>
#include <iostream>

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <dtbridge/core/text.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

namespace
{

constexpr std::size_t longest_answer = 4096;

volatile std::sig_atomic_t caught = 0;
/// What is blocked while read_line() waits; null: as it is. A signal that comes just before the wait is then
/// taken in the wait and not missed by it.
const sigset_t* while_waiting = nullptr;

void note_signal(int number)
{
    caught = number;
}

/// Echo is off while it lives. A signal that would end or stop the process ends the reading instead, and is
/// raised again when the echo is back.
class without_echo
{
public:
    without_echo()
    {
        caught = 0;
        sigset_t noted;
        sigemptyset(&noted);
        for (const auto number : numbers)
            sigaddset(&noted, number);
        ::sigprocmask(SIG_BLOCK, &noted, &mask_);
        while_waiting = &mask_;
        struct sigaction note = {};
        note.sa_handler = note_signal;
        for (std::size_t i = 0; i < std::size(numbers); ++i)
            ::sigaction(numbers[i], &note, &before_[i]);
        changed_ = ::tcgetattr(STDIN_FILENO, &terminal_) == 0;
        termios quiet = terminal_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        changed_ = changed_ && ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
    }
    ~without_echo()
    {
        if (changed_)
            ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_);
        for (std::size_t i = 0; i < std::size(numbers); ++i)
            ::sigaction(numbers[i], &before_[i], nullptr);
        while_waiting = nullptr;
        ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
        if (caught != 0)
            ::raise(caught);
    }
    without_echo(const without_echo&) = delete;
    without_echo& operator=(const without_echo&) = delete;

private:
    static constexpr int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction before_[std::size(numbers)] = {};
    sigset_t mask_ = {};
    termios terminal_ = {};
    bool changed_ = false;
};

/// One line without its end. Byte by byte, so that nothing of the next answer is taken along.
std::string read_line()
{
    std::string line;
    for (;;)
    {
        char c = 0;
        pollfd input{STDIN_FILENO, POLLIN, 0};
        auto n = static_cast<ssize_t>(::ppoll(&input, 1, nullptr, while_waiting));
        if (n > 0)
            n = ::read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR && caught == 0)
            continue;
        if (n <= 0)
            throw action_error("setup was ended before all was answered; nothing was written");
        if (c == '\n')
            return line;
        if (line.size() < longest_answer)
            line += c;
    }
}

void missing(const std::string& flag)
{
    throw usage_error(flag + " is missing, and there is no terminal to ask on");
}

}  // namespace

bool dialogue::has_terminal()
{
    return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

std::string dialogue::ask(const std::string& question,
                          const std::string& preset,
                          const std::string& flag,
                          const judge& wrong) const
{
    if (!able_)
        missing(flag);
    for (;;)
    {
        std::cout << question << (preset.empty() ? "" : " [" + preset + "]") << ": " << std::flush;
        const auto line = read_line();
        std::string answer(text::trim_blank(line));
        if (answer.empty())
            answer = preset;
        const auto why = wrong(answer);
        if (why.empty())
            return answer;
        std::cout << "  " << why << '\n';
    }
}

secret dialogue::ask_hidden(const std::string& question, const std::string& flag, const judge& wrong) const
{
    if (!able_)
        missing(flag);
    for (;;)
    {
        std::string line;
        {
            const without_echo quiet;
            std::cout << question << " (not shown): " << std::flush;
            line = read_line();
        }
        std::cout << '\n';
        secret answer{std::string(text::trim_blank(line))};
        const auto why = wrong(std::string(answer.reveal()));
        std::fill(line.begin(), line.end(), '\0');
        if (why.empty())
            return answer;
        std::cout << "  " << why << '\n';
    }
}

bool dialogue::yes(const std::string& question, bool preset, const std::string& flag) const
{
    if (!able_)
        missing(flag);
    for (;;)
    {
        std::cout << question << (preset ? " [Y/n]: " : " [y/N]: ") << std::flush;
        const auto line = read_line();
        const auto answer = text::trim_blank(line);
        if (answer.empty())
            return preset;
        if (text::iequals(answer, "y") || text::iequals(answer, "yes"))
            return true;
        if (text::iequals(answer, "n") || text::iequals(answer, "no"))
            return false;
    }
}

}  // namespace dtbridge::app
