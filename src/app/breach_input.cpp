#include "app/breach_input.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>

#include <fcntl.h>
#include <unistd.h>

#include <dtbridge/core/text.hpp>
#include <dtbridge/poll/element_splitter.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

namespace
{

using poll::body_shape;
using poll::element_splitter;

class input_file
{
public:
    explicit input_file(const std::string& name) : name_(name.empty() ? "-" : name)
    {
        fd_ = name_ == "-" ? STDIN_FILENO : ::open(name_.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd_ < 0)
            throw action_error(name_ + " cannot be read: " + std::strerror(errno));
    }
    ~input_file()
    {
        if (fd_ > STDIN_FILENO)
            ::close(fd_);
    }
    input_file(const input_file&) = delete;
    input_file& operator=(const input_file&) = delete;

    /// The next piece, empty at the end; valid until the next call.
    std::string_view read()
    {
        for (;;)
        {
            const auto size = ::read(fd_, buffer_.data(), buffer_.size());
            if (size >= 0)
                return {buffer_.data(), static_cast<std::size_t>(size)};
            if (errno != EINTR)
                throw action_error(name_ + " cannot be read: " + std::strerror(errno));
        }
    }

private:
    std::string name_;
    int fd_ = -1;
    std::array<char, 65536> buffer_{};
};

/// Hands on what a splitter yields, numbered.
class numbered
{
public:
    using each_function = std::function<void(std::size_t, std::string_view)>;
    using broken_function = std::function<void(std::size_t, const std::string&)>;

    numbered(const each_function& each, const broken_function& broken) : each_(each), broken_(broken) {}

    void drain(element_splitter& splitter)
    {
        for (;;)
        {
            const auto event = splitter.next();
            if (event == element_splitter::event::more)
                return;
            if (event == element_splitter::event::element)
                each_(index_, splitter.element());
            else
                broken_(index_, "longer than 4 MiB");
            ++index_;
        }
    }
    void broken(const std::string& reason) { broken_(index_++, reason); }

private:
    const each_function& each_;
    const broken_function& broken_;
    std::size_t index_ = 0;
};

void read_array(input_file& file, std::string_view first, numbered& out)
{
    element_splitter splitter;
    for (auto piece = first; !piece.empty(); piece = file.read())
    {
        splitter.feed(piece);
        out.drain(splitter);
    }
    switch (splitter.shape())
    {
        case body_shape::array:
            return;
        case body_shape::array_open:
            return out.broken("the array ends in the middle");
        default:
            return out.broken("the array is no JSON here, or something follows it");
    }
}

/// One object after the other: each on a line of its own, or spread over lines.
class object_lines
{
public:
    explicit object_lines(numbered& out) : out_(out) {}

    void take(std::string_view line)
    {
        if (splitter_.shape() == body_shape::object_open && line.starts_with('{'))
            finish();  // no one indents by nothing inside an object: the one before was cut
        splitter_.feed(line);
        out_.drain(splitter_);
        if (splitter_.shape() != body_shape::object_open)
            finish();
    }

    void finish()
    {
        switch (splitter_.shape())
        {
            case body_shape::nothing:
                break;
            case body_shape::object:
                break;
            case body_shape::object_open:
                out_.broken("the object ends in the middle");
                break;
            case body_shape::object_broken:
                out_.broken("something follows the object on its line");
                break;
            default:
                out_.broken("not a JSON object: " + text::printable(splitter_.head(), 40));
                break;
        }
        splitter_.reset();
    }

private:
    numbered& out_;
    element_splitter splitter_;
};

void read_lines(input_file& file, std::string_view first, numbered& out)
{
    object_lines lines(out);
    // A line over this is given to the splitter in pieces; nothing depends on where a line is cut inside an
    // object.
    constexpr std::size_t max_line = 1u << 20;
    std::string line;
    for (auto piece = first; !piece.empty(); piece = file.read())
    {
        while (!piece.empty())
        {
            const auto end = piece.find('\n');
            const auto size = end == std::string_view::npos ? piece.size() : end + 1;
            line.append(piece.substr(0, size));
            piece.remove_prefix(size);
            if (end != std::string_view::npos || line.size() > max_line)
            {
                lines.take(line);
                line.clear();
            }
        }
    }
    if (!line.empty())
        lines.take(line);
    lines.finish();
}

}  // namespace

void read_breaches(const std::string& file,
                   const std::function<void(std::size_t index, std::string_view element)>& each,
                   const std::function<void(std::size_t index, const std::string& reason)>& broken)
{
    input_file in(file);
    numbered out(each, broken);
    for (;;)
    {
        auto piece = in.read();
        if (piece.empty())
            return;
        if (piece.starts_with("\xEF\xBB\xBF"))
            piece.remove_prefix(3);
        const auto start = piece.find_first_not_of(" \t\r\n");
        if (start == std::string_view::npos)
            continue;
        if (piece[start] == '[')
            read_array(in, piece.substr(start), out);
        else
            read_lines(in, piece.substr(start), out);
        return;
    }
}

int print_each_breach(const std::string& file,
                      const std::function<std::string(const breach& b, const breach_key& key)>& each)
{
    int status = exit_done;
    const auto complain = [&](std::size_t index, const std::string& reason) {
        std::cerr << "element " << index << ": " << reason << '\n';
        status = exit_not_right;
    };
    breach b;
    const auto read_one = [&](std::size_t index, std::string_view element) {
        const auto key = b.read(element);
        if (!key)
            return complain(index, key.error().detail);
        if (const auto wrong = each(b, *key); !wrong.empty())
            complain(index, wrong);
    };
    read_breaches(file, read_one, complain);
    std::cout.flush();
    if (!std::cout)
        throw action_error("standard output cannot be written");
    return status;
}

}  // namespace dtbridge::app
