#pragma once

/// Questions on a terminal. Standard output has the questions, standard input the answers.

#include <functional>
#include <string>

#include <dtbridge/core/secret.hpp>

namespace dtbridge::app
{

class dialogue
{
public:
    /// able: questions may be asked; else every question throws usage_error that names the flag.
    explicit dialogue(bool able) : able_(able) {}
    /// Standard input and output are a terminal.
    static bool has_terminal();

    bool able() const { return able_; }
    /// What is wrong with an answer; "" for nothing.
    using judge = std::function<std::string(const std::string& answer)>;
    /// Asks until wrong has nothing to say. An empty answer is preset, where there is one.
    std::string ask(const std::string& question,
                    const std::string& preset,
                    const std::string& flag,
                    const judge& wrong) const;
    /// The same without echo. Ctrl-C leaves the terminal as it was.
    secret ask_hidden(const std::string& question, const std::string& flag, const judge& wrong) const;
    bool yes(const std::string& question, bool preset, const std::string& flag) const;

private:
    bool able_;
};

}  // namespace dtbridge::app
