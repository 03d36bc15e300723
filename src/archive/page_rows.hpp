#pragma once

/// Rows out of the pages of a damaged file: from a table's root as far as pages are whole, and out of pages
/// that no root leads to any more (sqlite.org, "Database File Format" 1.5 and 2). Everything in a page is
/// taken for hostile.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/page_file.hpp"

namespace dtbridge
{

struct stored_value
{
    enum class kind { null, integer, real, text, blob };
    kind is = kind::null;
    std::int64_t integer = 0;
    std::string bytes;  ///< of text and blob
};

struct stored_row
{
    std::int64_t rowid = 0;  ///< 0 where the table has none
    bool has_rowid = false;
    std::vector<stored_value> values;
};

class page_rows
{
public:
    using sink = std::function<void(stored_row&&)>;

    /// No row may be longer than max_row.
    page_rows(const page_file& file, std::size_t max_row);

    /// Every row that root leads to, in no promised order. Pages that cannot be read or make no sense are
    /// counted damaged; the walk goes on beside them.
    void walk(std::uint32_t root, const sink& take);
    /// The rows of one page that no walk has seen; none where it is no page of rows, or where not each of its
    /// rows can be read.
    std::vector<stored_row> orphans(std::uint32_t page);
    /// What is free is not looked at by orphans(). Call it before.
    void skip_free_pages();

    bool was_seen(std::uint32_t page) const { return page < seen_.size() && seen_[page]; }
    const std::vector<std::uint32_t>& damaged() const { return damaged_; }

private:
    struct layout;

    void walk_page(std::uint32_t number, unsigned depth, const sink& take);
    std::optional<layout> look(std::uint32_t number, const std::string& page) const;
    bool read_cell(const layout& l, const std::string& page, std::size_t at, stored_row& out, bool mark);
    bool read_payload(const layout& l,
                      const std::string& page,
                      std::size_t at,
                      std::uint64_t size,
                      std::string& out,
                      bool mark);
    static bool decode(const std::string& payload, stored_row& out);
    bool see(std::uint32_t page);

    const page_file& file_;
    std::size_t max_row_;
    std::vector<bool> seen_;
    std::vector<std::uint32_t> damaged_;
};

}  // namespace dtbridge
