#include "archive/page_rows.hpp"

#include <algorithm>

namespace dtbridge
{

namespace
{

constexpr unsigned deepest = 40;
constexpr std::size_t most_columns = 64;

/// A number of 1 to 9 bytes (1.6); nothing where it runs over the end. at moves behind it.
std::optional<std::uint64_t> varint(std::string_view bytes, std::size_t& at)
{
    std::uint64_t n = 0;
    for (int i = 0; i < 9; ++i)
    {
        if (at >= bytes.size())
            return std::nullopt;
        const auto byte = static_cast<unsigned char>(bytes[at++]);
        if (i == 8)
            return n << 8 | byte;
        n = n << 7 | (byte & 0x7fu);
        if (byte < 0x80)
            return n;
    }
    return std::nullopt;
}

std::int64_t signed_number(std::string_view bytes, std::size_t at, std::size_t size)
{
    const auto n = big_endian(bytes, at, size);
    const auto unused = 64 - 8 * size;
    return static_cast<std::int64_t>(n << unused) >> unused;
}

}  // namespace

/// Of a page of a b-tree.
struct page_rows::layout
{
    bool leaf = false, table = false;
    std::size_t header = 0;    ///< offset of the page's header
    std::size_t cells = 0;     ///< how many
    std::size_t pointers = 0;  ///< offset of the cells' offsets

    std::size_t cell(const std::string& page, std::size_t n) const
    {
        return static_cast<std::size_t>(big_endian(page, pointers + 2 * n, 2));
    }
};

page_rows::page_rows(const page_file& file, std::size_t max_row)
    : file_(file), max_row_(max_row), seen_(std::size_t{file.pages()} + 1)
{}

bool page_rows::see(std::uint32_t page)
{
    if (page == 0 || page >= seen_.size() || seen_[page])
        return false;
    seen_[page] = true;
    return true;
}

std::optional<page_rows::layout> page_rows::look(std::uint32_t number, const std::string& page) const
{
    layout l;
    l.header = number == 1 ? 100 : 0;
    const auto kind = big_endian(page, l.header, 1);
    if (kind != 2 && kind != 5 && kind != 10 && kind != 13)
        return std::nullopt;
    l.leaf = kind >= 10;
    l.table = kind == 5 || kind == 13;
    l.cells = static_cast<std::size_t>(big_endian(page, l.header + 3, 2));
    l.pointers = l.header + (l.leaf ? 8 : 12);
    if (l.pointers + 2 * l.cells > file_.usable_size())
        return std::nullopt;
    for (std::size_t n = 0; n < l.cells; ++n)
    {
        const auto at = l.cell(page, n);
        if (at < l.pointers + 2 * l.cells || at + 4 > file_.usable_size())
            return std::nullopt;
    }
    return l;
}

void page_rows::walk(std::uint32_t root, const sink& take)
{
    walk_page(root, 0, take);
}

void page_rows::walk_page(std::uint32_t number, unsigned depth, const sink& take)
{
    std::string page;
    if (depth > deepest || !see(number) || !file_.read(number, page))
    {
        damaged_.push_back(number);
        return;
    }
    const auto l = look(number, page);
    if (!l)
    {
        seen_[number] = false;  // it may hold rows of another table
        damaged_.push_back(number);
        return;
    }
    bool bad = false;
    for (std::size_t n = 0; n < l->cells; ++n)
    {
        const auto at = l->cell(page, n);
        if (!l->leaf)
            walk_page(static_cast<std::uint32_t>(big_endian(page, at, 4)), depth + 1, take);
        if (!l->leaf && l->table)
            continue;  // only the keys that lead on
        stored_row row;
        if (read_cell(*l, page, at + (l->leaf ? 0 : 4), row, true))
            take(std::move(row));
        else
            bad = true;
    }
    if (!l->leaf)
        walk_page(static_cast<std::uint32_t>(big_endian(page, l->header + 8, 4)), depth + 1, take);
    if (bad)
        damaged_.push_back(number);
}

std::vector<stored_row> page_rows::orphans(std::uint32_t number)
{
    std::vector<stored_row> rows;
    std::string page;
    if (was_seen(number) || number == 1 || file_.is_pointer_map(number) || !file_.read(number, page))
        return rows;
    const auto l = look(number, page);
    if (!l || (!l->leaf && l->table))
        return rows;
    for (std::size_t n = 0; n < l->cells; ++n)
    {
        stored_row row;
        // A page that only looks like one, or was half written: one bad row makes all of them doubtful, but
        // for those whose overflow pages are what is bad.
        if (read_cell(*l, page, l->cell(page, n) + (l->leaf ? 0 : 4), row, false))
            rows.push_back(std::move(row));
    }
    return rows;
}

bool page_rows::read_cell(
    const layout& l, const std::string& page, std::size_t at, stored_row& out, bool mark)
{
    const auto used = std::string_view(page).substr(0, file_.usable_size());
    const auto size = varint(used, at);
    if (!size || *size > max_row_)
        return false;
    out.has_rowid = l.table;
    if (l.table)
    {
        const auto rowid = varint(used, at);
        if (!rowid)
            return false;
        out.rowid = static_cast<std::int64_t>(*rowid);
    }
    std::string payload;
    return read_payload(l, page, at, *size, payload, mark) && decode(payload, out);
}

bool page_rows::read_payload(
    const layout& l, const std::string& page, std::size_t at, std::uint64_t size, std::string& out, bool mark)
{
    // How much of a long row stays in its page (1.6).
    const std::uint64_t usable = file_.usable_size();
    const std::uint64_t most = l.table ? usable - 35 : (usable - 12) * 64 / 255 - 23;
    const std::uint64_t least = (usable - 12) * 32 / 255 - 23;
    std::uint64_t here = size;
    if (size > most)
    {
        const auto fitting = least + (size - least) % (usable - 4);
        here = fitting <= most ? fitting : least;
    }
    if (at > usable || here > usable - at)
        return false;
    out.assign(page, at, here);
    if (here == size)
        return true;
    auto next = static_cast<std::uint32_t>(big_endian(page, at + here, 4));
    std::string more;
    out.reserve(size);
    while (out.size() < size)
    {
        if (!file_.read(next, more))
            return false;
        if (mark)
            see(next);
        const auto rest = std::min<std::uint64_t>(usable - 4, size - out.size());
        out.append(more, 4, rest);
        next = static_cast<std::uint32_t>(big_endian(more, 0, 4));
    }
    return true;
}

bool page_rows::decode(const std::string& payload, stored_row& out)
{
    std::size_t at = 0;
    const auto header = varint(payload, at);
    if (!header || *header > payload.size() || *header < at)
        return false;
    std::size_t body = *header;
    while (at < *header)
    {
        const auto type = varint(std::string_view(payload).substr(0, *header), at);
        if (!type || out.values.size() >= most_columns)
            return false;
        static constexpr std::size_t sizes[] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
        stored_value v;
        if (*type == 10 || *type == 11)
            return false;  // the format keeps these for itself
        const std::uint64_t size = *type < 10 ? sizes[*type] : (*type - 12) / 2;
        if (size > payload.size() - body)
            return false;
        if (*type == 7)
            v.is = stored_value::kind::real;
        else if (*type == 8 || *type == 9)
        {
            v.is = stored_value::kind::integer;
            v.integer = static_cast<std::int64_t>(*type - 8);
        }
        else if (*type > 0 && *type < 7)
        {
            v.is = stored_value::kind::integer;
            v.integer = signed_number(payload, body, size);
        }
        else if (*type >= 12)
        {
            v.is = *type % 2 == 0 ? stored_value::kind::blob : stored_value::kind::text;
            v.bytes = payload.substr(body, size);
        }
        body += size;
        out.values.push_back(std::move(v));
    }
    return body == payload.size();
}

void page_rows::skip_free_pages()
{
    std::string page;
    for (auto trunk = file_.first_free_trunk(); trunk != 0 && see(trunk) && file_.read(trunk, page);)
    {
        const auto leaves = std::min<std::uint64_t>(big_endian(page, 4, 4), (file_.usable_size() - 8) / 4);
        for (std::size_t n = 0; n < leaves; ++n)
            see(static_cast<std::uint32_t>(big_endian(page, 8 + 4 * n, 4)));
        trunk = static_cast<std::uint32_t>(big_endian(page, 0, 4));
    }
}

}  // namespace dtbridge
