//! The settings of the two wasmtime engines, and a pool sized for the machine.
//!
//! Components of WASI 0.2 run on an engine without the bookkeeping of concurrent tasks; components
//! that use WASI 0.3 (async functions, streams, futures) run on one that has it.

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Component instances alive at once in one engine, busy or idle.
const INSTANCES_MAX: u32 = 1_000;
/// A component has 1 to 5 core instances (Rust 1 to 3, Go 4 to 5), so 4 for each.
const CORE_INSTANCES_PER_INSTANCE: u32 = 4;
/// Toolchains emit one memory for each component; adapters add one at times.
const MEMORIES_PER_INSTANCE: u32 = 2;
/// Function tables: one of the program, one of the adapter.
const TABLES_PER_INSTANCE: u32 = 3;
/// Address space of one memory: with 4 GiB and a guard the compiler needs no bounds checks.
const MEMORY_RESERVATION: usize = 4 * GIB;
const MEMORY_GUARD: usize = 32 * MIB;
/// The smallest pool worth having; below it the on-demand allocator is used.
const INSTANCES_MIN: u32 = 16;
/// Bytes of a memory that stay resident between two uses and are cleared by hand. A Rust guest touches
/// its first 1.1 MiB: stack, data and the first heap pages.
const MEMORY_KEEP_RESIDENT: usize = 1_280 * KIB;
const TABLE_KEEP_RESIDENT: usize = 64 * KIB;
/// Stack of one asynchronous call, and the part of it that stays resident.
const ASYNC_STACK_SIZE: usize = 2 * MIB;
const ASYNC_STACK_KEEP_RESIDENT: usize = 64 * KIB;
/// Stack that a guest may use of it; the rest is for host calls.
const WASM_STACK_MAX: usize = MIB;
/// Slots that stay resident though no instance uses them, at most.
const WARM_SLOTS_MAX: usize = 128;
/// The part of the guest memory budget that idle resident slots may take.
const WARM_SHARE_DIVISOR: u64 = 8;

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocatorKind {
    /// Slots reserved at start.
    Pooling,
    /// `mmap` for each instance: slower, needs no address space up front.
    OnDemand,
}

/// What pool this machine got, for the start-up log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// The allocator in use.
    pub allocator: AllocatorKind,
    /// Instances that fit, for each of the two engines.
    pub instances_max: u32,
    /// Instances that would fit if address space were plentiful.
    pub instances_wanted: u32,
}

/// Chooses the largest pool whose address space this machine grants, twice (there are two engines).
pub(crate) fn size_pool() -> PoolReport {
    let mut instances = INSTANCES_MAX;
    while instances >= INSTANCES_MIN {
        let memories = instances as usize * MEMORIES_PER_INSTANCE as usize;
        let bytes = memories.saturating_mul(MEMORY_RESERVATION + 2 * MEMORY_GUARD);
        if address_space_available(bytes.saturating_mul(2)) {
            return PoolReport {
                allocator: AllocatorKind::Pooling,
                instances_max: instances,
                instances_wanted: INSTANCES_MAX,
            };
        }
        instances /= 2;
    }
    PoolReport {
        allocator: AllocatorKind::OnDemand,
        instances_max: INSTANCES_MAX,
        instances_wanted: INSTANCES_MAX,
    }
}

/// Tells whether `bytes` of address space can be reserved, by reserving and releasing them.
#[cfg(unix)]
fn address_space_available(bytes: usize) -> bool {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice, without access
    // rights, released at once; nothing else can hold a pointer into it.
    unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
        .and_then(|start| munmap(start, bytes))
        .is_ok()
    }
}

/// Where the reservation cannot be tried, ask for it and let the engine's start tell.
#[cfg(not(unix))]
fn address_space_available(bytes: usize) -> bool {
    bytes < isize::MAX as usize
}

/// Which of the two engines the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// WASI 0.2 only.
    Sequential,
    /// WASI 0.3, or both.
    Concurrent,
}

/// Builds the settings of one engine.
pub(crate) fn config(flavour: Flavour, pool: PoolReport, memory_budget: u64) -> Config {
    let mut config = Config::new();
    let concurrent = flavour == Flavour::Concurrent;
    config
        .wasm_component_model(true)
        .wasm_component_model_async(concurrent)
        .concurrency_support(concurrent)
        .wasm_gc(false)
        .gc_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .memory_reservation(MEMORY_RESERVATION as u64)
        .memory_guard_size(MEMORY_GUARD as u64)
        .async_stack_size(ASYNC_STACK_SIZE)
        .max_wasm_stack(WASM_STACK_MAX)
        // A trap is described by its cause; symbolising frames on every trap is work that a
        // misbehaving guest could order at will.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    if pool.allocator == AllocatorKind::Pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(
            pool,
            memory_budget,
        )));
    }
    config
}

fn pooling(pool: PoolReport, memory_budget: u64) -> PoolingAllocationConfig {
    let instances = pool.instances_max;
    let warm_by_budget = memory_budget / WARM_SHARE_DIVISOR / MEMORY_KEEP_RESIDENT as u64;
    let warm = usize::try_from(warm_by_budget)
        .unwrap_or(WARM_SLOTS_MAX)
        .clamp(1, WARM_SLOTS_MAX);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_PER_INSTANCE)
        .total_memories(instances * MEMORIES_PER_INSTANCE)
        .total_tables(instances * TABLES_PER_INSTANCE)
        .total_stacks(instances)
        .max_memory_size(MEMORY_RESERVATION)
        .max_core_instance_size(MIB)
        .max_component_instance_size(MIB)
        .table_elements(trellis_core::Limits::default().table_elements_max as usize)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .async_stack_keep_resident(ASYNC_STACK_KEEP_RESIDENT)
        .max_unused_warm_slots(warm as u32)
        // With swap a dirty page can be missed and leak to the next tenant in wasmtime 48.
        .pagemap_scan(Enabled::No);
    pooling
}
