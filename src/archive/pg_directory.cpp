#include "archive/pg_directory.hpp"

namespace dtbridge
{

namespace
{

template <class Unsigned>
void put(std::string& out, Unsigned v)
{
    for (int shift = 8 * static_cast<int>(sizeof v) - 8; shift >= 0; shift -= 8)
        out += static_cast<char>((v >> shift) & 0xff);
}

template <class Unsigned>
Unsigned take(std::string_view& from)
{
    Unsigned v = 0;
    for (std::size_t i = 0; i < sizeof v; ++i)
        v = static_cast<Unsigned>((v << 8) | static_cast<unsigned char>(from[i]));
    from.remove_prefix(sizeof v);
    return v;
}

}  // namespace

void append_entry(std::string& directory, const directory_entry& e)
{
    put(directory, static_cast<std::uint64_t>(e.key.pbid));
    put(directory, static_cast<std::uint64_t>(e.key.created));
    put(directory, static_cast<std::uint64_t>(e.time.value_or(0)));
    put(directory, e.begins);
    put(directory, e.length);
    directory += e.time ? '\1' : '\0';
}

directory_entry entry_at(std::string_view directory, std::size_t n)
{
    auto from = directory.substr(n * directory_entry_bytes, directory_entry_bytes);
    directory_entry e;
    e.key.pbid = static_cast<std::int64_t>(take<std::uint64_t>(from));
    e.key.created = static_cast<std::int64_t>(take<std::uint64_t>(from));
    const auto time = static_cast<std::int64_t>(take<std::uint64_t>(from));
    e.begins = take<std::uint32_t>(from);
    e.length = take<std::uint32_t>(from);
    if (from[0] != 0)
        e.time = time;
    return e;
}

}  // namespace dtbridge
