#include <dtbridge/core/failure.hpp>

#include <boost/system/system_error.hpp>

namespace dtbridge
{

namespace
{

// The base's destructor is protected and not virtual, on purpose: categories are never destroyed through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class category_of_dtbridge final : public boost::system::error_category
{
public:
    const char* name() const noexcept override { return "dtbridge"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value))
        {
            case errc::ok:
                return "no error";
            case errc::malformed:
                return "malformed";
            case errc::over_limit:
                return "over a limit";
            case errc::timed_out:
                return "timed out";
            case errc::resolve_failed:
                return "the name cannot be resolved";
            case errc::tls_refused:
                return "TLS refused";
            case errc::proxy_refused:
                return "refused by the proxy";
            case errc::http_protocol:
                return "not proper HTTP";
            case errc::disk_full:
                return "the disk is full";
            case errc::archive_damaged:
                return "the archive is damaged";
            case errc::archive_newer:
                return "the archive was written by a newer version";
            case errc::locked:
                return "held by another process";
            case errc::not_found:
                return "not found";
            case errc::refused:
                return "refused";
            case errc::unsupported:
                return "not supported";
            case errc::lease_lost:
                return "the master is not this bridge's any more";
        }
        return "unknown error " + std::to_string(value);
    }
};
#pragma GCC diagnostic pop

}  // namespace

const boost::system::error_category& error_category()
{
    static const category_of_dtbridge instance;
    return instance;
}

error_code make_error_code(errc e)
{
    return {static_cast<int>(e), error_category()};
}

void throw_exception_from_error(const failure& f, const boost::source_location&)
{
    throw boost::system::system_error(f.code, f.detail);
}

}  // namespace dtbridge
