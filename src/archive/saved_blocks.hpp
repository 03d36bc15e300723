#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/archive/recover.hpp>

namespace dtbridge
{

namespace db
{
class connection;
}

/// The elements of a block's bytes: objects one after the other, blanks and commas between them. Nothing
/// where they are not that.
std::vector<std::string_view> split_block(std::string_view bytes);

/// Makes an archive whole again whose rows were saved one by one: a block that cannot be expanded goes, a
/// breach without its bytes goes, a breach whose row is missing is made anew from its block, keys, cursors
/// and state fit them, and what is gone is counted lost for those destinations that had not got it.
/// has_state: its row of state was saved, too. path: for words.
recovery check_saved_blocks(db::connection& file, bool has_state, std::int64_t now, const std::string& path);

}  // namespace dtbridge
