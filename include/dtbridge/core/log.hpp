#pragma once

/// One event with fields to standard error, as text or JSON. Thread-safe. Values are made printable (one
/// line, no controls) before they are written, because many come from the network. Only the owner of a task
/// logs (CONTRIBUTING.md).

#include <initializer_list>
#include <string>
#include <string_view>

namespace dtbridge::log
{

enum class level { error, warning, info, debug };
enum class format { text, json };

struct field
{
    std::string_view name;
    std::string value;
};

/// component: the module ("poll", "deliver"); source: the master or destination it is about, or "".
void write(level l,
           std::string_view component,
           std::string_view source,
           std::string_view message,
           std::initializer_list<field> fields = {});
void set_level(level l);
void set_format(format f);
bool enabled(level l);

inline void error(std::string_view component,
                  std::string_view source,
                  std::string_view message,
                  std::initializer_list<field> fields = {})
{
    write(level::error, component, source, message, fields);
}
inline void warning(std::string_view component,
                    std::string_view source,
                    std::string_view message,
                    std::initializer_list<field> fields = {})
{
    write(level::warning, component, source, message, fields);
}
inline void info(std::string_view component,
                 std::string_view source,
                 std::string_view message,
                 std::initializer_list<field> fields = {})
{
    write(level::info, component, source, message, fields);
}
inline void debug(std::string_view component,
                  std::string_view source,
                  std::string_view message,
                  std::initializer_list<field> fields = {})
{
    if (enabled(level::debug))
        write(level::debug, component, source, message, fields);
}

}  // namespace dtbridge::log
