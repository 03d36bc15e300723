#pragma once

/// The journal's native protocol (systemd, "Native Journal Protocol"): one datagram per entry, so that fields
/// are fields and not words of a line. Without libsystemd, because `core` stands on nothing.

#include <initializer_list>
#include <string>
#include <string_view>

#include <dtbridge/core/log.hpp>

namespace dtbridge::log
{

inline constexpr const char* journal_socket = "/run/systemd/journal/socket";

/// One entry: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, DTBRIDGE_COMPONENT, DTBRIDGE_SOURCE and a DTBRIDGE_ field
/// each.
std::string journal_entry(level l,
                          std::string_view component,
                          std::string_view source,
                          std::string_view message,
                          std::initializer_list<field> fields);

/// Whether descriptor is the stream that JOURNAL_STREAM ("device:inode", systemd.exec(5)) speaks of.
bool is_journal_stream(const char* stream, int descriptor);

/// From now on entries go to the socket at that path, "" to standard error again. False where there is none.
/// For the start, which happens by itself, and for tests.
bool use_journal(const std::string& path);
/// False where there is no journal or it did not take the entry.
bool send_to_journal(const std::string& entry);

}  // namespace dtbridge::log
