//! Compiles the proto contract with protox: no protoc needed. Writes the descriptor set that reflection serves.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 4] = [
    "stockgate/v1/stock.proto",
    "stockgate/v1/inventory.proto",
    "stockgate/v1/channel.proto",
    "stockgate/v1/carrier.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=lua");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("stockgate_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().codec_path("crate::proto::codec::SmallCodec").compile_fds(descriptors)?;
    Ok(())
}
