{
  description = "Development shell of image_translation: Python and uv, and the libraries that PyTorch's wheels need";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs =
    { nixpkgs, ... }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forAllSystems = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      devShells = forAllSystems (
        pkgs:
        let
          # Wheels are built for ordinary distributions: they look for these by name.
          libraries = [
            pkgs.stdenv.cc.cc.lib
            pkgs.zlib
            pkgs.libGL
            pkgs.glib
          ];
          # The NVIDIA driver belongs to the host: NixOS links it here, other systems keep it with their own libraries.
          # Reading the host's path is why the shell is entered with --impure.
          driver = "/run/opengl-driver/lib";
          hostLibraries = builtins.getEnv "LD_LIBRARY_PATH";
          searchPath = builtins.filter (part: part != "") [
            (pkgs.lib.makeLibraryPath libraries)
            driver
            hostLibraries
          ];
        in
        {
          default = pkgs.mkShell {
            packages = [
              pkgs.python311
              pkgs.uv
            ];
            env = {
              UV_PYTHON = "${pkgs.python311}/bin/python3.11";
              UV_PYTHON_DOWNLOADS = "never";
            }
            // pkgs.lib.optionalAttrs pkgs.stdenv.isLinux {
              LD_LIBRARY_PATH = builtins.concatStringsSep ":" searchPath;
            };
            shellHook = ''
              uv sync
              . .venv/bin/activate
            '';
          };
        }
      );
    };
}
